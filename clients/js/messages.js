// @ts-check
// What a client does with messages that are there. Changes resolve with `{ seq, timeMs }` when they are durable, and throw
// `Refused`.

import { pages } from './caller.js';
import { decodeBadge, decodeReceiptsPage, encodeReceiptsQuery } from './fields-marks.js';
import {
  decodeElementsPage, encodeEdit, encodeEditsQuery, encodeHide, encodePin, encodePinsQuery, encodeReact, encodeRevoke,
  encodeThreadQuery,
} from './fields-targets.js';
import { decodeImage, idsTlv, textTlv } from './image.js';
import { Method, Tlv } from './registry.js';

/**
 * @typedef {import('./image.js').Channel} Channel
 * @typedef {import('./image.js').Image} Image
 */

const UTF8 = new TextEncoder();

export class Messages {
  #caller;

  /** @param {import('./caller.js').Caller} caller */
  constructor(caller) {
    this.#caller = caller;
  }

  /** Takes a message back: its content is erased for everybody. @param {Channel} channel @param {number} seq */
  revoke(channel, seq) {
    return this.#caller.change(channel, Method.REVOKE, encodeRevoke(channel, seq));
  }

  /**
   * Replaces the content of an own message.
   * @param {Channel} channel
   * @param {number} seq
   * @param {number} version the one that the user saw; when there is a newer one the edit is refused with `VERSION_CONFLICT`
   * @param {string} text
   * @param {{ mentions?: string[] }} [options]
   */
  edit(channel, seq, version, text, { mentions = [] } = {}) {
    const tlvs = [textTlv(Tlv.CONTENT_TYPE, 'text/plain')];
    if (mentions.length > 0) tlvs.push(idsTlv(Tlv.MENTIONS, mentions));
    return this.#caller.change(channel, Method.EDIT, encodeEdit(channel, seq, version, UTF8.encode(text)), tlvs);
  }

  /** Adds a reaction, or takes it away. @param {Channel} channel @param {number} seq @param {string} reaction @param {boolean} isOn */
  react(channel, seq, reaction, isOn) {
    return this.#caller.change(channel, Method.REACT, encodeReact(channel, seq, isOn, UTF8.encode(reaction)));
  }

  /** Pins a message for everybody, or ends that. @param {Channel} channel @param {number} seq @param {boolean} isOn */
  pin(channel, seq, isOn) {
    return this.#caller.change(channel, Method.PIN, encodePin(channel, seq, isOn));
  }

  /** Deletes messages for this user alone. @param {Channel} channel @param {number} from @param {number} to inclusive */
  async hide(channel, from, to) {
    await this.#caller.change(channel, Method.HIDE, encodeHide(channel, from, to));
    this.#caller.alter(channel, (stream) => stream.hide(from, to));
    this.#caller.emit('hidden', { channel, from, to });
  }

  /** The pinned messages, ascending. @param {Channel} channel @returns {Promise<Image[]>} */
  async pins(channel) {
    const items = await this.#elements(Method.PINS, (after) => encodePinsQuery(channel, after));
    return this.#images(channel, items);
  }

  /** The versions of a message, as it was sent first. @param {Channel} channel @param {number} seq @returns {Promise<Image[]>} */
  async edits(channel, seq) {
    const items = await this.#elements(Method.EDITS, (after) => encodeEditsQuery(channel, seq, after));
    return items.flatMap((item) => ('image' in item ? [decodeImage(item.image)] : []));
  }

  /**
   * The answers in a thread, ascending, a page of the newest ones.
   * @param {Channel} channel @param {number} root the message that began it
   * @param {number} [before] the first seq of the page behind; 0 for the newest page
   * @returns {Promise<{ images: Image[], more: boolean }>} `more`: there are earlier ones
   */
  async thread(channel, root, before = 0) {
    const { items, more } = decodeElementsPage(await this.#caller.ask(Method.THREAD, encodeThreadQuery(channel, root, before)));
    return { images: this.#images(channel, items), more };
  }

  /**
   * Who has a message, and who has read it.
   * @param {Channel} channel @param {number} seq
   * @returns {Promise<Omit<import('./fields-marks.js').ReceiptsPage, 'more'>>}
   */
  async receipts(channel, seq) {
    const counts = { members: 0, delivered: 0, read: 0 };
    const users = await pages(async (after) => {
      const { users: items, more, ...page } = decodeReceiptsPage(
        await this.#caller.ask(Method.RECEIPTS, encodeReceiptsQuery(channel, seq, after)),
      );
      Object.assign(counts, page);
      return { items, more };
    }, ({ user }) => user);
    return { ...counts, users };
  }

  /** How much is unread in all conversations together, but muted and hidden ones. */
  async badge() {
    return decodeBadge(await this.#caller.ask(Method.BADGE, new Uint8Array(0)));
  }

  /** The images among elements, with what was made of them. @param {Channel} channel @param {import('./elements.js').SyncItem[]} items */
  #images(channel, items) {
    return this.#caller.told(channel, items).flatMap((item) => ('image' in item ? [item.image] : []));
  }

  /** @param {number} method @param {(after: number) => Uint8Array} query */
  #elements(method, query) {
    return pages(async (after) => decodeElementsPage(await this.#caller.ask(method, query(Number(after)))), (item) => {
      if ('made' in item) return String(item.made.seq);
      return String('image' in item ? decodeImage(item.image).seq : item.gap.to);
    });
  }
}
