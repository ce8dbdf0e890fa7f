// @ts-check
// One channel as this device sees it: what came, in order. Images go in as they arrive (pushed, pulled, acknowledged);
// they come out once each, by ascending seq, and nothing comes out across a hole.

import { fromBase64, toBase64 } from './base64.js';
import { CodecError, ConversationFlag, authorOf, decodeImage, decodeUsers, encodeImage, tlvBytes, tlvText } from './codec.js';
import { isAboutAnother, mentions, targetOf, Targets, threadOf } from './made.js';
import { ImageFlag, ImageKind, Tlv } from './registry.js';
import { Unread } from './unread.js';

/**
 * @typedef {import('./image.js').Image} Image
 * @typedef {import('./image.js').Channel} Channel
 * @typedef {import('./codec.js').Conversation} Conversation
 * @typedef {{ mutedUntilMs?: number, pinned?: boolean, hidden?: boolean, markedUnread?: boolean, cleared?: number }} Settings
 * @typedef {{ channel: Channel, epoch: number, flags: number, head: number, cursor: number, read: number,
 *   mutedUntilMs: number, cleared: number, name: string, unread: import('./unread.js').UnreadRecord, last: string }} StreamRecord
 *   as it is stored; `last` is base64
 */

/** A preview keeps this much of a body. */
const PREVIEW_BYTES = 256;
/** So many images are held above a hole; what is beyond is pulled later. */
const HELD_IMAGES = 1000;
const UTF8 = new TextDecoder();
/** Muted until then is muted for ever. */
export const FOR_EVER = Number.MAX_SAFE_INTEGER;

export class Stream {
  /** @type {Map<number, Image>} what came and has a hole below it */
  #held = new Map();
  #unread = new Unread();
  #user;

  /** @param {Channel} channel @param {string} user whose view this is */
  constructor(channel, user) {
    this.channel = channel;
    this.#user = user;
    /** @type {number | null} the epoch of its slot; null until a LIST told it */
    this.epoch = null;
    /** Bits of `ConversationFlag`. */
    this.flags = 0;
    /** The highest seq known of. */
    this.head = 0;
    /** Everything up to here came out. */
    this.cursor = 0;
    /** The user has read up to here. */
    this.read = 0;
    /** It wakes nobody until then; `FOR_EVER` for ever. */
    this.mutedUntilMs = 0;
    /** Everything up to here the user has deleted for themselves. */
    this.cleared = 0;
    /** What the group is called; '' when it has no name, and for a person. */
    this.name = '';
    /** @type {Image | null} the newest message or event, its body perhaps cut; its content is that of the newest edit */
    this.last = null;
    /** What later entries made of the messages that came in this run. */
    this.targets = new Targets(user);
  }

  /** How much is unread; above 1,000 the exact number is not known. */
  get unread() {
    return this.#unread.count;
  }

  /** How much of it mentions the user. */
  get mentions() {
    return this.#unread.mentions;
  }

  /** No unread message lies below this seq; 0 when nothing is unread. */
  get firstUnread() {
    return this.#unread.first(this.read);
  }

  /** Whether the user is no member any more. */
  get left() {
    return this.#has(ConversationFlag.LEFT);
  }

  get pinned() {
    return this.#has(ConversationFlag.PINNED);
  }

  /** Whether it is left out of the list until something new comes. */
  get hidden() {
    return this.#has(ConversationFlag.HIDDEN);
  }

  get markedUnread() {
    return this.#has(ConversationFlag.MARKED_UNREAD);
  }

  /** Whether the user is invited to the group and no member yet. */
  get invited() {
    return this.#has(ConversationFlag.INVITED);
  }

  /** Whether the user has asked to join the group. */
  get asked() {
    return this.#has(ConversationFlag.ASKED);
  }

  /** Whether the user blocks the other one. */
  get blocked() {
    return this.#has(ConversationFlag.BLOCKED);
  }

  /** Whether the group was dismissed: it can be read, and not written to. */
  get dismissed() {
    return this.#has(ConversationFlag.DISMISSED);
  }

  /** @param {StreamRecord} record @param {string} user */
  static restore(record, user) {
    const stream = new Stream(record.channel, user);
    stream.epoch = record.epoch;
    stream.flags = record.flags;
    stream.head = record.head;
    stream.cursor = record.cursor;
    stream.read = record.read;
    stream.mutedUntilMs = record.mutedUntilMs ?? 0;
    stream.cleared = record.cleared ?? 0;
    stream.name = record.name ?? '';
    stream.#unread = Unread.restore(record.unread);
    stream.last = record.last === '' ? null : decodeImage(fromBase64(record.last));
    return stream;
  }

  /** @returns {StreamRecord} */
  record() {
    const { channel, flags, head, cursor, read, mutedUntilMs, cleared, name } = this;
    const last = this.last === null ? '' : toBase64(encodeImage(this.last));
    return { channel, epoch: this.epoch ?? 0, flags, head, cursor, read, mutedUntilMs, cleared, name, unread: this.#unread.record(), last };
  }

  /**
   * Takes what LIST says.
   * @param {Conversation} conversation
   * @returns {{ from: number, to: number } | null} what this device will not be given any more
   */
  list(conversation) {
    const isNew = this.epoch === null;
    this.epoch = conversation.epoch;
    this.flags = conversation.flags & ~ConversationFlag.CUT;
    this.mutedUntilMs = conversation.mutedUntilMs;
    if (!this.left) this.name = UTF8.decode(conversation.name);
    this.head = this.left ? conversation.head : Math.max(this.head, conversation.head);
    this.#listPreview(conversation.image.length === 0 ? null : decodeImage(conversation.image));
    this.#clear(conversation.cleared);
    this.#moveRead(conversation.read);
    this.#unread.list(conversation.unread, conversation.mentions, conversation.head);
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

  /** Takes the next image in order, or null when there is a hole or nothing. @returns {Image | null} */
  take() {
    const image = this.#held.get(this.cursor + 1);
    if (image === undefined) return null;
    this.#held.delete(image.seq);
    this.cursor = image.seq;
    this.flags &= ~ConversationFlag.HIDDEN;
    this.#membership(image);
    if (isAboutAnother(image)) this.#about(image);
    else this.#preview(image);
    if (image.kind === ImageKind.MESSAGE) this.targets.hold(image, image.seq, null);
    if (threadOf(image) > 0) this.targets.apply(image);
    const counts = image.kind === ImageKind.MESSAGE && (image.flags & (ImageFlag.COUNTABLE | ImageFlag.ERASED)) === ImageFlag.COUNTABLE;
    if (counts && image.seq > this.read && authorOf(image) !== this.#user) {
      this.#unread.add(image.seq, mentions(image, this.#user));
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

  /** The user has read up to `seq`; false when that changes nothing. @param {number} seq */
  markRead(seq) {
    const isMarked = this.markedUnread;
    this.flags &= ~ConversationFlag.MARKED_UNREAD;
    return this.#moveRead(seq) || isMarked;
  }

  /** Takes what the user set, here or on another device. @param {Settings} settings */
  set({ mutedUntilMs, pinned, hidden, markedUnread, cleared }) {
    this.mutedUntilMs = mutedUntilMs ?? this.mutedUntilMs;
    this.#flag(ConversationFlag.PINNED, pinned);
    this.#flag(ConversationFlag.HIDDEN, hidden);
    this.#flag(ConversationFlag.MARKED_UNREAD, markedUnread);
    this.#clear(cleared ?? 0);
  }

  /** The user blocks the other one, or not. @param {boolean} isOn */
  block(isOn) {
    this.#flag(ConversationFlag.BLOCKED, isOn);
  }

  /** The user has deleted this interval for themselves. @param {number} from @param {number} to */
  hide(from, to) {
    this.#unread.drop(from, to);
    if (this.last !== null && this.last.seq >= from && this.last.seq <= to) this.last = null;
  }

  /** Forgets everything but what this connection pushed: the channel has another past now. */
  reset() {
    this.epoch = null;
    this.head = Math.max(0, ...this.#held.keys());
    this.cursor = 0;
    this.read = 0;
    this.cleared = 0;
    this.#unread = new Unread();
    this.last = null;
    this.targets.clear();
  }

  /** What is held above a hole is let go: a later connection pulls it. */
  release() {
    this.#held.clear();
  }

  /** @param {number} bit */
  #has(bit) {
    return (this.flags & bit) !== 0;
  }

  /** @param {number} bit @param {boolean | undefined} isOn */
  #flag(bit, isOn) {
    if (isOn !== undefined) this.flags = isOn ? this.flags | bit : this.flags & ~bit;
  }

  /** @param {number} seq */
  #moveRead(seq) {
    if (seq <= this.read) return false;
    this.read = seq;
    this.#unread.read(seq);
    return true;
  }

  /** @param {number} seq */
  #clear(seq) {
    if (seq <= this.cleared) return;
    this.cleared = seq;
    this.hide(1, seq);
  }

  /** @param {Image} image about another message */
  #about(image) {
    const seq = this.targets.apply(image);
    if (image.kind === ImageKind.REVOKED) this.#unread.drop(seq, seq);
    if (this.last?.seq !== seq) return;
    const { flags } = this.last;
    if (image.kind === ImageKind.REVOKED) this.last = { ...this.last, flags: flags | ImageFlag.ERASED, tlvs: [], body: new Uint8Array(0) };
    if (image.kind === ImageKind.EDITED) this.last = cut({ ...this.last, flags: flags | ImageFlag.EDITED, tlvs: image.tlvs, body: image.body });
  }

  /** @param {Image} image */
  #membership(image) {
    const isOfGroup = image.kind === ImageKind.GROUP_CREATED || image.kind === ImageKind.GROUP_CHANGED;
    if (isOfGroup && tlvBytes(image.tlvs, Tlv.NAME) !== null) this.name = tlvText(image.tlvs, Tlv.NAME);
    if (image.kind === ImageKind.GROUP_DISMISSED) this.flags |= ConversationFlag.DISMISSED;
    const change = MEMBERSHIP.get(image.kind);
    const isCreator = image.kind === ImageKind.GROUP_CREATED && authorOf(image) === this.#user;
    if (change === undefined || !(isCreator || listsUser(image.body, this.#user))) return;
    const { LEFT, INVITED, ASKED } = ConversationFlag;
    this.flags = change === 'left' ? this.flags | LEFT : this.flags & ~(LEFT | INVITED | ASKED);
  }

  /** The newest image shows, but not what is about a message that is here already. @param {Image | null} image */
  #listPreview(image) {
    if (image === null) return;
    if (image.seq === this.last?.seq) this.last = cut(image);
    else if (!isAboutAnother(image) || this.last === null || targetOf(image) !== this.last.seq) this.#preview(image);
  }

  /** @param {Image} image */
  #preview(image) {
    if (image.seq > (this.last?.seq ?? 0)) this.last = cut(image);
  }
}

/** A copy that holds on to no frame. @param {Image} image @returns {Image} */
function cut(image) {
  const tlvs = image.tlvs.map(({ tag, value }) => ({ tag, value: value.slice() }));
  return { ...image, sender: image.sender.slice(), tlvs, body: image.body.slice(0, PREVIEW_BYTES) };
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
