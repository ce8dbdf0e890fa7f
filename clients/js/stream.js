// @ts-check
// One channel as this device sees it: what came, in order. Images go in as they arrive (pushed, pulled, acknowledged);
// they come out once each, by ascending seq, and nothing comes out across a hole.

import { fromBase64, toBase64 } from './base64.js';
import { CodecError, ConversationFlag, authorOf, decodeImage, decodeUsers, encodeImage } from './codec.js';
import { ImageFlag, ImageKind } from './registry.js';

/**
 * @typedef {import('./image.js').Image} Image
 * @typedef {import('./image.js').Channel} Channel
 * @typedef {import('./codec.js').Conversation} Conversation
 * @typedef {{ channel: Channel, epoch: number, flags: number, head: number, cursor: number, read: number,
 *   unread: number[], last: string }} StreamRecord as it is stored; `last` is base64
 */

/** A preview keeps this much of a body. */
const PREVIEW_BYTES = 256;
/** So many images are held above a hole; what is beyond is pulled later. */
const HELD_IMAGES = 1000;
/** So many unread messages are counted. */
const COUNTED_UNREAD = 100;

export class Stream {
  /** @type {Map<number, Image>} what came and has a hole below it */
  #held = new Map();

  /** @param {Channel} channel */
  constructor(channel) {
    this.channel = channel;
    /** @type {number | null} the epoch of its slot; null until a LIST told it */
    this.epoch = null;
    this.flags = 0;
    /** The highest seq known of. */
    this.head = 0;
    /** Everything up to here came out. */
    this.cursor = 0;
    /** The user has read up to here. */
    this.read = 0;
    /** @type {number[]} seqs of unread messages, the newest `COUNTED_UNREAD` */
    this.unread = [];
    /** @type {Image | null} the newest image, its body perhaps cut */
    this.last = null;
  }

  /** Whether the user is no member any more. */
  get left() {
    return (this.flags & ConversationFlag.LEFT) !== 0;
  }

  /** @param {StreamRecord} record */
  static restore(record) {
    const stream = new Stream(record.channel);
    stream.epoch = record.epoch;
    stream.flags = record.flags;
    stream.head = record.head;
    stream.cursor = record.cursor;
    stream.read = record.read;
    stream.unread = record.unread;
    stream.last = record.last === '' ? null : decodeImage(fromBase64(record.last));
    return stream;
  }

  /** @returns {StreamRecord} */
  record() {
    const { channel, flags, head, cursor, read, unread } = this;
    const last = this.last === null ? '' : toBase64(encodeImage(this.last));
    return { channel, epoch: this.epoch ?? 0, flags, head, cursor, read, unread, last };
  }

  /**
   * Takes what LIST says.
   * @param {Conversation} conversation
   * @returns {{ from: number, to: number } | null} what this device will not be given any more
   */
  list(conversation) {
    const isNew = this.epoch === null;
    this.epoch = conversation.epoch;
    this.flags = conversation.flags & ConversationFlag.LEFT;
    this.head = this.left ? conversation.head : Math.max(this.head, conversation.head);
    this.#preview(conversation.image.length === 0 ? null : decodeImage(conversation.image));
    this.markRead(conversation.read);
    if (conversation.syncFrom <= this.cursor) return null;
    const skipped = { from: this.cursor + 1, to: conversation.syncFrom };
    this.skip(conversation.syncFrom);
    return isNew ? null : skipped;
  }

  /** Takes an image, from wherever. Duplicates are dropped. @param {Image} image */
  offer(image) {
    if (image.seq <= this.cursor || this.#held.has(image.seq)) return;
    this.head = Math.max(this.head, image.seq);
    if (this.#held.size < HELD_IMAGES || image.seq === this.cursor + 1) this.#held.set(image.seq, image);
  }

  /** Takes the next image in order, or null when there is a hole or nothing. @param {string} user @returns {Image | null} */
  take(user) {
    const image = this.#held.get(this.cursor + 1);
    if (image === undefined) return null;
    this.#held.delete(image.seq);
    this.cursor = image.seq;
    this.#preview(image);
    this.#membership(image, user);
    if ((image.flags & ImageFlag.COUNTABLE) !== 0 && image.seq > this.read && authorOf(image) !== user) {
      this.unread = [...this.unread, image.seq].slice(-COUNTED_UNREAD);
    }
    return image;
  }

  /** Goes on above `seq`: there is nothing for this device up to it. @param {number} seq */
  skip(seq) {
    this.cursor = Math.max(this.cursor, seq);
    this.head = Math.max(this.head, seq);
    for (const held of this.#held.keys()) if (held <= this.cursor) this.#held.delete(held);
  }

  /** What must be pulled before anything else can come out, or null. @returns {{ from: number, to: number } | null} */
  hole() {
    const from = this.cursor + 1;
    if (this.head < from || this.#held.has(from)) return null;
    const above = [...this.#held.keys()].reduce((low, seq) => Math.min(low, seq), this.head + 1);
    return { from, to: above - 1 };
  }

  /** There is nothing above `seq`, but what is held. @param {number} seq */
  endAt(seq) {
    this.head = [...this.#held.keys()].reduce((high, held) => Math.max(high, held), Math.max(seq, this.cursor));
  }

  /** Moves the read mark forward; false when it was there. @param {number} seq */
  markRead(seq) {
    if (seq <= this.read) return false;
    this.read = seq;
    this.unread = this.unread.filter((unread) => unread > seq);
    return true;
  }

  /** Forgets everything but what this connection pushed: the channel has another past now. */
  reset() {
    this.epoch = null;
    this.head = Math.max(0, ...this.#held.keys());
    this.cursor = 0;
    this.read = 0;
    this.unread = [];
    this.last = null;
  }

  /** What is held above a hole is let go: a later connection pulls it. */
  release() {
    this.#held.clear();
  }

  /** @param {Image} image @param {string} user */
  #membership(image, user) {
    const change = MEMBERSHIP.get(image.kind);
    if (change === undefined || !listsUser(image.body, user)) return;
    this.flags = change === 'left' ? this.flags | ConversationFlag.LEFT : this.flags & ~ConversationFlag.LEFT;
  }

  /** Keeps the newest image, in a copy that holds on to no frame. @param {Image | null} image */
  #preview(image) {
    if (image === null || image.seq <= (this.last?.seq ?? 0)) return;
    const tlvs = image.tlvs.map(({ tag, value }) => ({ tag, value: value.slice() }));
    this.last = { ...image, sender: image.sender.slice(), tlvs, body: image.body.slice(0, PREVIEW_BYTES) };
  }
}

/** @type {Map<number, 'joined' | 'left'>} what the kinds of membership images say of those they list */
const MEMBERSHIP = new Map([
  [ImageKind.GROUP_CREATED, 'joined'],
  [ImageKind.MEMBERS_JOINED, 'joined'],
  [ImageKind.MEMBERS_LEFT, 'left'],
  [ImageKind.MEMBERS_REMOVED, 'left'],
]);

/** @param {Uint8Array} body @param {string} user */
function listsUser(body, user) {
  try {
    return decodeUsers(body).includes(user);
  } catch (error) {
    if (error instanceof CodecError) return false;
    throw error;
  }
}
