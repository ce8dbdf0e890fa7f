// @ts-check
// Messages that the server sends when their time has come. Changes resolve when they are durable, and throw `Refused`.

import { FIRST_COMMAND } from './fields.js';
import { decodeScheduledPage, encodeSchedule, encodeScheduleEdit, encodeScheduleNamed } from './fields-schedule.js';
import { textTlv } from './image.js';
import { ImageFlag, Method, Tlv } from './registry.js';

/**
 * @typedef {import('./image.js').Channel} Channel
 * @typedef {import('./fields.js').CommandId} CommandId
 * @typedef {import('./fields-schedule.js').Scheduled} Scheduled
 */

const UTF8 = new TextEncoder();

export class Schedule {
  #caller;

  /** @param {import('./caller.js').Caller} caller */
  constructor(caller) {
    this.#caller = caller;
  }

  /** Writes a text that is sent at `dueMs`, since 1970. @param {Channel} channel @param {number} dueMs @param {string} text */
  make(channel, dueMs, text) {
    return this.#caller.change(channel, Method.SCHEDULE, encodeSchedule(channel, planOf(dueMs, text)), TEXT);
  }

  /** Gives what waits another time, another text. @param {Channel} channel @param {CommandId} id @param {number} dueMs @param {string} text */
  edit(channel, id, dueMs, text) {
    return this.#caller.change(channel, Method.SCHEDULE_EDIT, encodeScheduleEdit(channel, id, planOf(dueMs, text)), TEXT);
  }

  /** @param {Channel} channel @param {CommandId} id */
  cancel(channel, id) {
    return this.#caller.change(channel, Method.SCHEDULE_CANCEL, encodeScheduleNamed(channel, id));
  }

  /** What this user has scheduled in the channel, by time. @param {Channel} channel @returns {Promise<Scheduled[]>} */
  async list(channel) {
    /** @type {Scheduled[]} */
    const all = [];
    for (let after = FIRST_COMMAND; ;) {
      const { scheduled, more } = decodeScheduledPage(await this.#caller.ask(Method.SCHEDULED, encodeScheduleNamed(channel, after)));
      all.push(...scheduled);
      const last = scheduled.at(-1);
      if (!more || last === undefined) return all.sort((a, b) => a.plan.dueMs - b.plan.dueMs);
      after = last.id;
    }
  }
}

const TEXT = [textTlv(Tlv.CONTENT_TYPE, 'text/plain')];

/** @param {number} dueMs @param {string} text */
function planOf(dueMs, text) {
  return { dueMs, flags: ImageFlag.COUNTABLE, body: UTF8.encode(text) };
}
