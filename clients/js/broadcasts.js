// @ts-check
// What a system user does: it writes to everybody, or to who has a tag, and gives users their tags. Changes resolve when
// they are durable, and throw `Refused`.

import { decodeBroadcasts, decodeTags, encodeBroadcast, encodeBroadcastCancel, encodeTagsSet } from './fields-broadcast.js';
import { encodeUser } from './fields-people.js';
import { personChannel, textTlv } from './image.js';
import { ImageFlag, Method, Tlv } from './registry.js';

/**
 * @typedef {import('./fields.js').CommandId} CommandId
 * @typedef {import('./fields-broadcast.js').Broadcast} Broadcast
 */

const UTF8 = new TextEncoder();
const NOTHING = new Uint8Array(0);

export class Broadcasts {
  #caller;

  /** @param {import('./caller.js').Caller} caller */
  constructor(caller) {
    this.#caller = caller;
  }

  /** Writes a text to everybody, or to who has the tag. @param {string | null} tag null is everybody @param {string} text */
  make(tag, text) {
    const fields = encodeBroadcast(tag, ImageFlag.COUNTABLE, UTF8.encode(text));
    return this.#caller.change(this.#self, Method.BROADCAST, fields, [textTlv(Tlv.CONTENT_TYPE, 'text/plain')]);
  }

  /** Nobody else gets it. @param {CommandId} id */
  cancel(id) {
    return this.#caller.change(this.#self, Method.BROADCAST_CANCEL, encodeBroadcastCancel(id));
  }

  /** All that are under way, and those that ended last, in the order in which they are sent. @returns {Promise<Broadcast[]>} */
  async list() {
    return decodeBroadcasts(await this.#caller.ask(Method.BROADCASTS, NOTHING)).broadcasts;
  }

  /** Gives a user these tags and no others. @param {string} user @param {string[]} tags */
  setTags(user, tags) {
    return this.#caller.change(this.#self, Method.TAGS_SET, encodeTagsSet(user, [...new Set(tags)].sort()));
  }

  /** @param {string} user */
  async tags(user) {
    return decodeTags(await this.#caller.ask(Method.TAGS, encodeUser(user))).tags;
  }

  get #self() {
    return personChannel(this.#caller.user, this.#caller.user);
  }
}
