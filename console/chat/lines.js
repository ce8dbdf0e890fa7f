// @ts-check
// A timeline as rows: days, events, gaps, runs of messages of one author, and what is on its way.

import { authorOf } from './client/codec.js';
import { isAboutAnother } from './client/made.js';
import { GapReason, ImageKind } from './client/registry.js';
import { make } from './dom.js';
import { eventText } from './events.js';
import { buildMessage, contentOf, lookOf } from './message.js';
import { dayKey, dayName, isBeyondUs } from './words.js';

/**
 * @typedef {import('./dom.js').Row} Row
 * @typedef {import('./timeline.js').Timeline} Timeline
 * @typedef {import('./message.js').Message} Message
 * @typedef {import('./message.js').Surroundings} Surroundings
 * @typedef {import('./client/outbox.js').Command} Command
 */

/** Messages of one author within this time are one run. */
const RUN_MS = 5 * 60_000;

/**
 * The rows of `timeline` and then of `outgoing`.
 * @param {Timeline} timeline @param {Command[]} outgoing
 * @param {Surroundings & { madeOf: (seq: number) => import('./client/made.js').Made | null,
 *   progressOf: (message: Message) => import('./message.js').Progress }} around
 * @returns {Row[]}
 */
export function rowsOf(timeline, outgoing, around) {
  const lines = new Lines(around);
  let isNewDue = timeline.newFrom > 0;
  for (const { seq, image, gap } of timeline.items) {
    if (gap !== null) {
      if (gap.why !== GapReason.HIDDEN) lines.note(`gap ${seq}`, 'note', gapText(gap));
      continue;
    }
    const event = eventText(image, around.me, around.nameOf);
    if (event === null && isAboutAnother(image)) continue;
    lines.day(image.timeMs);
    if (isNewDue && seq >= timeline.newFrom && authorOf(image) !== around.me) {
      isNewDue = false;
      lines.note('new', 'new', 'New messages');
    }
    if (event !== null) {
      lines.note(`event ${seq}`, 'note', event);
      continue;
    }
    const made = around.madeOf(seq);
    lines.message({
      key: `seq ${seq}`, seq, author: authorOf(image), timeMs: image.timeMs, content: contentOf(image, made), made,
      isShown: image.kind === ImageKind.MESSAGE && !isBeyondUs(image), command: null,
    });
  }
  for (const command of timeline.stored) lines.command(command, command.timeMs, null);
  for (const command of outgoing) lines.command(command, command.createdMs, command);
  return lines.end();
}

class Lines {
  #around;
  /** @type {Row[]} */
  #rows = [];
  #day = '';
  /** @type {Message[]} */
  #run = [];

  /** @param {Parameters<typeof rowsOf>[2]} around */
  constructor(around) {
    this.#around = around;
  }

  /** A line that is no message. @param {string} key @param {string} className @param {string} text */
  note(key, className, text) {
    this.#endRun();
    this.#rows.push({ key, look: text, build: () => make('li', className, make('span', '', text)) });
  }

  /** What follows is of the day of `timeMs`. @param {number} timeMs */
  day(timeMs) {
    if (dayKey(timeMs) === this.#day) return;
    this.#day = dayKey(timeMs);
    this.note(`day ${this.#day}`, 'day', dayName(timeMs));
  }

  /** @param {Message} message */
  message(message) {
    const last = this.#run.at(-1);
    if (last !== undefined && (last.author !== message.author || message.timeMs - last.timeMs > RUN_MS)) this.#endRun();
    this.#run.push(message);
  }

  /** An own message that the stream has not reached. @param {Command} command @param {number} timeMs @param {Command | null} waiting null when it is stored */
  command(command, timeMs, waiting) {
    this.day(timeMs);
    const content = contentOf(command, null);
    this.message({ key: `out ${command.id}`, seq: 0, author: this.#around.me, timeMs, content, made: null, isShown: true, command: waiting });
  }

  end() {
    this.#endRun();
    return this.#rows;
  }

  #endRun() {
    const run = this.#run;
    this.#run = [];
    this.#rows.push(...run.map((message, at) => {
      const [isFirst, isLast] = [at === 0, at === run.length - 1];
      const progress = this.#around.progressOf(message);
      const look = lookOf(message, progress, isFirst, isLast, this.#around);
      return { key: message.key, look, build: () => buildMessage(message, progress, isFirst, isLast, this.#around) };
    }));
  }
}

/** @param {{ from: number, to: number, why: number }} gap */
function gapText({ from, to, why }) {
  if (why === GapReason.NOT_VISIBLE) return 'What was written before is not visible to you';
  const count = to - from + 1;
  const what = count === 1 ? 'A message' : `${count} messages`;
  if (why === GapReason.EXPIRED) return `${what} gone after ${count === 1 ? 'its' : 'their'} time`;
  return why === GapReason.TRIMMED ? `${what} no longer kept` : `${what} damaged in storage`;
}
