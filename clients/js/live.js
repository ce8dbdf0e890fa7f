// @ts-check
// What is told and not stored: who is writing, who is online, how far others have what was sent, signals. Each of it may be
// lost; nothing here outlives a connection but what the app looks at.

import { channelKey, decodePresences, decodeTold, encodeSaid, encodeUserList, encodeWatch, settingsOfTlvs } from './codec.js';
import { PresenceState } from './fields-people.js';
import { Kind, Limits, Method, NoticeKind } from './registry.js';

/**
 * @typedef {import('./image.js').Channel} Channel
 * @typedef {import('./fields-people.js').Presence} Presence
 * @typedef {{ delivered: number, read: number }} Mark
 */

/** A user is writing for so long after they said so last. */
const TYPING_MS = 6000;
/** While the user writes it is said so often. */
const SAY_TYPING_MS = 3000;

export class Live {
  #caller;
  #clock;
  #send;
  /** @type {Map<string, Map<string, unknown>>} who is writing, by channel; their timers */
  #typing = new Map();
  /** @type {Map<string, Presence>} */
  #presence = new Map();
  /** @type {Map<string, Map<string, Mark>>} by channel and user */
  #marks = new Map();
  /** @type {Channel | null} */
  #watched = null;
  /** @type {string[]} */
  #presenceOf = [];
  /** @type {{ key: string, atMs: number } | null} when the user was said to be writing */
  #said = null;

  /**
   * @param {import('./caller.js').Caller} caller
   * @param {import('./connection.js').Clock} clock
   * @param {(packet: import('./codec.js').Notice) => boolean} send false without a connection
   */
  constructor(caller, clock, send) {
    this.#caller = caller;
    this.#clock = clock;
    this.#send = send;
  }

  /** Who is writing in `channel` now. @param {Channel} channel */
  typingIn(channel) {
    return [...(this.#typing.get(channelKey(channel))?.keys() ?? [])];
  }

  /** What is known of a watched user. @param {string} user @returns {Presence} */
  presenceOf(user) {
    return this.#presence.get(user) ?? { user, state: PresenceState.UNKNOWN, lastSeenMs: 0, platforms: [] };
  }

  /** How far `user` has `channel`, as far as it was told. @param {Channel} channel @param {string} user @returns {Mark} */
  markOf(channel, user) {
    return this.#marks.get(channelKey(channel))?.get(user) ?? { delivered: 0, read: 0 };
  }

  /** How far others have `channel`, as far as it was told, by user. @param {Channel} channel @returns {ReadonlyMap<string, Mark>} */
  marksIn(channel) {
    return this.#marks.get(channelKey(channel)) ?? new Map();
  }

  /** This channel is on screen: its receipts and typing are told. @param {Channel | null} channel */
  watch(channel) {
    this.#watched = channel;
    this.#ask(Method.WATCH, encodeWatch(channel), () => {});
  }

  /** Tells by `presence` whether these users are online, now and from now on. @param {string[]} users */
  watchPresence(users) {
    const wanted = [...new Set(users)].sort().slice(0, Limits.PRESENCE_WATCHED);
    if (wanted.join() === this.#presenceOf.join()) return;
    const isLess = this.#presenceOf.some((user) => !wanted.includes(user));
    this.#presenceOf = wanted;
    if (isLess) this.#askPresence([]);
    for (let at = 0; at < wanted.length; at += Limits.CALL_IDS) this.#askPresence(wanted.slice(at, at + Limits.CALL_IDS));
  }

  /** The user is writing, or has stopped; may be called for each letter. @param {Channel} channel @param {boolean} isWriting */
  typing(channel, isWriting) {
    const key = channelKey(channel);
    const now = this.#clock.now();
    const isSaid = this.#said?.key === key && now - this.#said.atMs < (isWriting ? SAY_TYPING_MS : TYPING_MS);
    if (isSaid === isWriting) return;
    this.#said = isWriting ? { key, atMs: now } : null;
    this.#say({ what: NoticeKind.TYPING, channel, isWriting });
  }

  /** Tells who is online in `channel` something that is not stored; false when it certainly does not arrive. @param {Channel} channel @param {Uint8Array} body */
  signal(channel, body) {
    return this.#say({ what: NoticeKind.SIGNAL, channel, body });
  }

  /** A new connection knows nothing of what the app looks at. */
  connected() {
    if (this.#watched !== null) this.watch(this.#watched);
    const users = this.#presenceOf;
    this.#presenceOf = [];
    this.watchPresence(users);
  }

  disconnected() {
    this.#said = null;
    for (const [key, users] of this.#typing) for (const user of users.keys()) this.#stopped(key, user);
    this.#typing.clear();
    this.#told([...this.#presence.values()].map((presence) => ({ ...presence, state: PresenceState.UNKNOWN })));
  }

  /** @param {import('./codec.js').Notice} notice */
  notice({ what, fields, tlvs }) {
    const told = decodeTold(what, fields);
    switch (told?.what) {
      case NoticeKind.TYPING:
        return told.isWriting ? this.#began(told.channel, told.user) : this.#ended(told.channel, told.user);
      case NoticeKind.PRESENCE:
        return this.#told(told.users);
      case NoticeKind.RECEIPT:
        return this.#receipts(told.channel, told.marks);
      case NoticeKind.CONVERSATION:
        return this.#view(told, tlvs);
      case NoticeKind.SIGNAL:
        return this.#caller.emit('signal', { channel: told.channel, user: told.user, timeMs: told.timeMs, body: told.body.slice() });
      case NoticeKind.REQUESTS:
        return this.#caller.emit('requests', { group: told.group, waiting: told.waiting });
      default:
        return undefined;
    }
  }

  /** A message of `user` came: they are not writing it any more. @param {Channel} channel @param {string} user */
  wrote(channel, user) {
    this.#ended(channel, user);
  }

  /** @param {Channel} channel @param {string} user */
  #began(channel, user) {
    const key = channelKey(channel);
    const users = this.#typing.get(key) ?? new Map();
    this.#typing.set(key, users);
    this.#clock.clearTimeout(users.get(user));
    users.set(user, this.#clock.setTimeout(() => this.#ended(channel, user), TYPING_MS));
    this.#caller.emit('typing', { channel, users: this.typingIn(channel) });
  }

  /** @param {Channel} channel @param {string} user */
  #ended(channel, user) {
    if (!this.#stopped(channelKey(channel), user)) return;
    this.#caller.emit('typing', { channel, users: this.typingIn(channel) });
  }

  /** @param {string} key @param {string} user */
  #stopped(key, user) {
    const users = this.#typing.get(key);
    this.#clock.clearTimeout(users?.get(user));
    return users?.delete(user) ?? false;
  }

  /** @param {Presence[]} presences */
  #told(presences) {
    for (const presence of presences) {
      this.#presence.set(presence.user, presence);
      this.#caller.emit('presence', presence);
    }
  }

  /** @param {Channel} channel @param {import('./fields-notices.js').Receipt[]} marks none: too many changed */
  #receipts(channel, marks) {
    const key = channelKey(channel);
    const known = this.#marks.get(key) ?? new Map();
    this.#marks.set(key, known);
    for (const { user, delivered, read } of marks) {
      const before = known.get(user) ?? { delivered: 0, read: 0 };
      const mark = { delivered: Math.max(before.delivered, delivered, read), read: Math.max(before.read, read) };
      known.set(user, mark);
    }
    this.#caller.emit('receipt', { channel, marks });
  }

  /** @param {import('./fields-notices.js').ConversationTold} told @param {import('./image.js').TlvField[]} tlvs */
  #view({ channel, read, from, to, blocks, contact }, tlvs) {
    this.#caller.alter(channel, (stream) => {
      if (read > 0) stream.markRead(read);
      stream.set(settingsOfTlvs(tlvs));
      if (channel.kind === 1) stream.block(blocks);
      if (to > 0) stream.hide(from, to);
    });
    if (to > 0) this.#caller.emit('hidden', { channel, from, to });
    if (channel.kind === 1) this.#caller.emit('contact', { channel, state: contact });
    // Contacts, requests and invitations, and conversations that are new here.
    this.#caller.relist();
  }

  /** @param {string[]} users */
  #askPresence(users) {
    this.#ask(Method.PRESENCE, encodeUserList(users), (fields) => this.#told(decodePresences(fields).users));
  }

  /** Asks what is worth nothing when it is refused. @param {number} method @param {Uint8Array} fields @param {(fields: Uint8Array) => void} done */
  async #ask(method, fields, done) {
    try {
      done(await this.#caller.ask(method, fields));
    } catch {
      // What is refused or cannot be read is not known, as before.
    }
  }

  /** @param {import('./fields-notices.js').Said} said */
  #say(said) {
    return this.#send({ kind: Kind.NOTICE, what: said.what, fields: encodeSaid(said), tlvs: [] });
  }
}
