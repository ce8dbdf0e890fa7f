// @ts-check
// What comes to this device: pushed by RECV, pulled by LIST and SYNC after a connect, a LAG or a hole. Nothing reaches
// the app before the connection's first LIST is complete, for only that tells whether the channels still have the past
// that this device holds.

import { CodecError, ConversationFlag, authorOf, channelKey, decodeImage } from './codec.js';
import { targetOf, threadOf } from './made.js';
import { ImageKind, Kind, Reason } from './registry.js';
import { Stream } from './stream.js';

/**
 * @typedef {import('./image.js').Channel} Channel
 * @typedef {import('./image.js').Image} Image
 * @typedef {import('./requests.js').Request} Request
 * @typedef {object} InboxOptions
 * @property {import('./storage.js').State} state
 * @property {import('./requests.js').Requests} requests
 * @property {string} user
 * @property {(name: string, detail: unknown) => void} emit
 * @property {(image: Image) => void} recognise sees each image before the app does
 * @property {(packet: import('./codec.js').Listed | import('./codec.js').Synced) => void} refused the connection cannot go on
 * @property {() => void} pause what the server said must not be asked again at once
 * @property {() => void} listed the first LIST of a connection is complete
 */

const NOTHING = new Uint8Array(0);

export class Inbox {
  #options;
  #state;
  #isListed = false;
  #listWanted = false;
  #listEverything = false;
  /** @type {Set<Stream> | null} what a LIST of everything has told of so far */
  #told = null;
  /** @type {Set<Stream>} */
  #holes = new Set();
  /** @type {Set<Stream>} changed since the last `settle` */
  #touched = new Set();
  /** @type {Map<Stream, number>} the cursors that the server knows from this connection */
  #acknowledged = new Map();

  /** @param {InboxOptions} options */
  constructor(options) {
    this.#options = options;
    this.#state = options.state;
  }

  /** Whether the first LIST of this connection is complete. */
  get isListed() {
    return this.#isListed;
  }

  /** The conversations that are known. */
  get conversations() {
    return [...this.#state.streams.values()].filter(({ epoch }) => epoch !== null);
  }

  /** @param {Channel} channel */
  conversation(channel) {
    const stream = this.#state.streams.get(channelKey(channel));
    return stream === undefined || stream.epoch === null ? null : stream;
  }

  connected() {
    this.#listWanted = true;
    for (const stream of this.#state.streams.values()) if (stream.hole() !== null) this.#holes.add(stream);
  }

  disconnected() {
    this.#isListed = false;
    this.#listWanted = false;
    this.#holes.clear();
    this.#acknowledged.clear();
    for (const stream of this.#state.streams.values()) stream.release();
  }

  /** RECVs were dropped. */
  lagged() {
    this.#listWanted = true;
  }

  /** Takes an image that was pushed, or that an acknowledgement completed. @param {Image} image */
  offer(image) {
    this.#options.recognise(image);
    const stream = this.#stream(image.channel);
    stream.offer(image);
    this.#drain(stream);
  }

  /** There is an entry of the channel at `seq`, which may or may not be pushed. @param {Channel} channel @param {number} seq */
  expect(channel, seq) {
    const stream = this.#stream(channel);
    stream.head = Math.max(stream.head, seq);
    this.#drain(stream);
  }

  /** Moves the read mark forward; false when it was there. @param {Channel} channel @param {number} seq */
  markRead(channel, seq) {
    const stream = this.conversation(channel);
    if (stream === null || !stream.markRead(seq)) return false;
    this.#touched.add(stream);
    return true;
  }

  /** What the app sees of the channel has changed, by what is no image. @param {Channel} channel @param {(stream: Stream) => void} change */
  change(channel, change) {
    const stream = this.conversation(channel);
    if (stream === null) return;
    change(stream);
    this.#touched.add(stream);
  }

  /** Something about the channel changed that only LIST tells. */
  relist() {
    this.#listWanted = true;
  }

  /**
   * Takes images that the app asked for, with what is said of them.
   * @param {Channel} channel @param {import('./codec.js').SyncItem[]} items
   * @param {number | null} head as of which it is said; null: of about now, so that what is known already stands
   * @returns {({ image: Image } | { gap: { from: number, to: number, why: number } })[]}
   */
  told(channel, items, head) {
    const stream = this.#stream(channel);
    /** @type {Map<number, import('./elements.js').Made>} */
    const made = new Map();
    for (const item of items) if ('made' in item) made.set(item.made.seq, item.made);
    /** @type {({ image: Image } | { gap: { from: number, to: number, why: number } })[]} */
    const told = [];
    for (const item of items) {
      if ('gap' in item) told.push(item);
      if (!('image' in item)) continue;
      const image = decodeImage(item.image);
      const isKnown = head === null && stream.targets.get(image.seq) !== null;
      if (image.kind === ImageKind.MESSAGE && !isKnown) {
        stream.targets.hold(image, Math.max(head ?? stream.head, image.seq), made.get(image.seq) ?? null);
      }
      told.push({ image });
    }
    return told;
  }

  /**
   * Stores what changed, then tells the server how far this device is, then the app.
   * @param {((channel: Channel, seq: number) => void) | null} acknowledge null without a connection
   */
  settle(acknowledge) {
    const changed = [...this.#touched].filter(({ epoch }) => epoch !== null);
    this.#touched.clear();
    for (const stream of changed) {
      this.#state.saveStream(stream);
      if (acknowledge === null || stream.cursor <= (this.#acknowledged.get(stream) ?? 0)) continue;
      this.#acknowledged.set(stream, stream.cursor);
      acknowledge(stream.channel, stream.cursor);
    }
    for (const stream of changed) this.#options.emit('conversation', stream);
  }

  /** The LIST that is due, or null. @returns {Request | null} */
  list() {
    if (!this.#listWanted) return null;
    this.#listWanted = false;
    const token = this.#listEverything ? NOTHING : this.#state.listToken;
    this.#listEverything = false;
    this.#told = token.length === 0 ? new Set() : null;
    return this.#listRequest(token, NOTHING);
  }

  /** The SYNC that is due, or null. @returns {Request | null} */
  sync() {
    for (const stream of this.#holes) {
      this.#holes.delete(stream);
      const hole = stream.hole();
      if (hole !== null && stream.epoch !== null) return this.#syncRequest(stream, stream.epoch, hole);
    }
    return null;
  }

  /** @param {Uint8Array} token @param {Uint8Array} page @returns {Request} */
  #listRequest(token, page) {
    return {
      make: (request) => ({ kind: Kind.LIST, request, token, page, limit: 0, tlvs: [] }),
      done: (/** @type {import('./codec.js').Listed} */ listed) => {
        if (listed.reason === Reason.BAD_LIST_TOKEN) return this.#listAgain();
        if (listed.reason !== Reason.OK) return this.#options.refused(listed);
        for (const conversation of listed.conversations) this.#listConversation(conversation);
        if (listed.next.length > 0) this.#options.requests.goOn(this.#listRequest(token, listed.next.slice()));
        else this.#listComplete(listed.token.slice());
      },
      failed: null,
    };
  }

  /** Lists everything: the token does not tell what this device needs. */
  #listAgain() {
    this.#listWanted = true;
    this.#listEverything = true;
  }

  /** @param {import('./codec.js').Conversation} conversation */
  #listConversation(conversation) {
    const stream = this.#stream(conversation.channel);
    // An invitation, or a question to join, that is over.
    const { LEFT, INVITED, ASKED } = ConversationFlag;
    if (conversation.head === 0 && (conversation.flags & (LEFT | INVITED | ASKED)) === LEFT) return this.#lose(stream);
    const isBeyond = !this.#isListed && stream.cursor > conversation.head;
    if (stream.epoch !== null && (stream.epoch !== conversation.epoch || isBeyond)) this.#forget(stream);
    this.#told?.add(stream);
    const skipped = stream.list(conversation);
    if (skipped !== null) this.#options.emit('gap', { channel: stream.channel, ...skipped, why: 0 });
    this.#acknowledged.set(stream, conversation.syncFrom);
    this.#touched.add(stream);
    this.#drain(stream);
  }

  /** The token is stored after what it covers. @param {Uint8Array} token */
  #listComplete(token) {
    this.#isListed = true;
    for (const stream of this.#touched) if (stream.epoch !== null) this.#state.saveStream(stream);
    this.#state.listToken = token;
    this.#state.saveSession();
    this.#options.listed();
    for (const stream of [...this.#state.streams.values()]) {
      const isGone = stream.epoch === null ? !this.#listWanted : this.#told?.has(stream) === false;
      if (!isGone) this.#drain(stream);
      else if (stream.epoch === null) this.#state.forgetStream(stream);
      else this.#lose(stream);
    }
    this.#told = null;
  }

  /** The user has no part in the channel any more. @param {Stream} stream */
  #lose(stream) {
    this.#forget(stream);
    this.#touched.delete(stream);
    this.#state.forgetStream(stream);
  }

  /** @param {Stream} stream @param {number} epoch @param {{ from: number, to: number }} hole @returns {Request} */
  #syncRequest(stream, epoch, { from, to }) {
    const { channel } = stream;
    return {
      make: (request) => ({ kind: Kind.SYNC, request, channel, epoch, from, to, limit: 0, tlvs: [] }),
      done: (/** @type {import('./codec.js').Synced} */ synced) => {
        if (synced.reason === Reason.NO_CHANNEL) return this.#lose(stream);
        if (synced.reason === Reason.EPOCH_MISMATCH) return this.#mismatch(stream);
        if (synced.reason !== Reason.OK || synced.to < from) return this.#options.refused(synced);
        if (synced.epoch !== epoch) return this.#mismatch(stream);
        this.#fill(stream, synced);
        if (synced.to < to && synced.to >= synced.head) stream.endAt(synced.head);
        this.#drain(stream);
      },
      failed: null,
    };
  }

  /** The channel's past is not what this device holds. @param {Stream} stream */
  #mismatch(stream) {
    this.#forget(stream);
    this.#listAgain();
    this.#options.pause();
  }

  /** @param {Stream} stream @param {import('./codec.js').Synced} synced */
  #fill(stream, synced) {
    let next = synced.from;
    for (const item of this.told(stream.channel, synced.items, synced.head)) {
      const image = 'image' in item ? item.image : null;
      const { from, to, why } = 'gap' in item ? item.gap : { from: image?.seq ?? 0, to: image?.seq ?? 0, why: 0 };
      if (from !== next) throw new CodecError('SYNCED does not cover its interval', 0, Reason.PROTOCOL_VIOLATION);
      next = to + 1;
      if (image !== null) {
        this.offer(image);
      } else if (to > stream.cursor) {
        const first = Math.max(from, stream.cursor + 1);
        stream.skip(to);
        this.#options.emit('gap', { channel: stream.channel, from: first, to, why });
      }
    }
    if (next !== synced.to + 1) throw new CodecError('SYNCED does not cover its interval', 0, Reason.PROTOCOL_VIOLATION);
    this.#touched.add(stream);
  }

  /** @param {Channel} channel */
  #stream(channel) {
    const key = channelKey(channel);
    const stream = this.#state.streams.get(key) ?? new Stream(channel, this.#options.user);
    this.#state.streams.set(key, stream);
    return stream;
  }

  /** @param {Stream} stream */
  #forget(stream) {
    stream.reset();
    this.#acknowledged.delete(stream);
    this.#options.emit('reset', { channel: stream.channel });
  }

  /** Hands the app what is in order, and remembers what is missing. @param {Stream} stream */
  #drain(stream) {
    if (stream.epoch === null) this.#listWanted = true;
    if (stream.epoch === null || !this.#isListed) return;
    for (let image = stream.take(); image !== null; image = stream.take()) {
      this.#touched.add(stream);
      this.#options.emit('message', { channel: image.channel, image, author: authorOf(image) });
      const seq = targetOf(image) || threadOf(image);
      if (seq === 0) continue;
      const made = stream.targets.get(seq);
      if (made !== null) this.#options.emit('made', { channel: image.channel, seq, made, image });
    }
    if (stream.hole() !== null) this.#holes.add(stream);
  }
}
