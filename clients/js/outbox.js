// @ts-check
// The commands that have no answer yet. Each has one number for ever; a number is sent again until it is answered, so
// that a command is carried out once whatever the connection does.

import { encodePacket, idsTlv, textTlv, u64Tlv } from './codec.js';
import { ImageFlag, Kind, Limits, Reason, ReasonInfo, Tlv } from './registry.js';

/**
 * @typedef {import('./image.js').Channel} Channel
 * @typedef {'waiting' | 'refused' | 'unsure'} CommandState `unsure`: it was put on the wire, and nobody knows its answer
 * @typedef {{ id: string, number: number, sender: string, copies: number, state: CommandState, reason: number, detail: string,
 *   createdMs: number, channel: Channel, method: number, flags: number, tlvs: import('./image.js').TlvField[],
 *   body: Uint8Array }} Command a message (method 0), or a CALL with its fields as body; `copies` were put on the wire and not
 *   answered: while that is not 0 it may have been stored. `sender` is '' but for unsure ones: who numbered them, in hex
 * @typedef {{ reason: number, detail: string, retryMs: number | null }} Refusal
 * @typedef {object} MessageOptions
 * @property {string} [contentType]
 * @property {number} [read] the highest seq on screen
 * @property {boolean} [silent] it wakes nobody
 * @property {number} [replyTo] the seq of the message that it answers
 * @property {number} [thread] the seq of the message that began its thread
 * @property {string[]} [mentions] users
 * @property {boolean} [mentionAll]
 * @property {number} [lifetimeMs] it goes away so long after it is stored
 * @property {string} [forwarded] where its content comes from
 */

/** How long to wait after a refusal that does not say. */
const RETRY_MS = 1000;

export class Outbox {
  #state;
  /** @type {Set<number>} numbers on this connection without an answer */
  #wired = new Set();
  #isExpired = false;

  /** @param {import('./storage.js').State} state */
  constructor(state) {
    this.#state = state;
  }

  /** Commands in order of their numbers. */
  get commands() {
    return this.#state.commands;
  }

  /**
   * A message.
   * @param {Channel} channel
   * @param {Uint8Array} body
   * @param {MessageOptions} options
   * @param {number} nowMs
   */
  message(channel, body, options, nowMs) {
    return this.#add({ channel, method: 0, flags: flagsOf(options), tlvs: tlvsOf(options), body, createdMs: nowMs });
  }

  /**
   * A CALL that changes something in `channel`.
   * @param {Channel} channel @param {number} method @param {Uint8Array} body its fields @param {number} nowMs
   * @param {import('./image.js').TlvField[]} [tlvs]
   */
  call(channel, method, body, nowMs, tlvs = []) {
    return this.#add({ channel, method, flags: 0, tlvs, body, createdMs: nowMs });
  }

  /** @param {Pick<Command, 'channel' | 'method' | 'flags' | 'tlvs' | 'body' | 'createdMs'>} what @returns {Command} */
  #add(what) {
    const command = {
      ...what, id: randomId(), number: this.#state.next, sender: '', copies: 0,
      state: /** @type {CommandState} */ ('waiting'), reason: Reason.OK, detail: '',
    };
    this.#append(command);
    return command;
  }

  /** The lowest number that may still be sent again. */
  get oldest() {
    const waiting = this.commands.filter(({ state }) => state === 'waiting').map(({ number }) => number);
    return Math.min(this.#state.next, ...waiting);
  }

  /** A new connection knows nothing of what was put on the last one. */
  disconnected() {
    this.#wired.clear();
  }

  /** Whether the server refuses the sender, and has answered everything that was sent under it. */
  get needsSender() {
    return this.#isExpired && this.#wired.size === 0;
  }

  /** Takes what is to be put on the wire now, and stores that it may have been. @returns {Command[]} */
  take() {
    if (this.#isExpired) return [];
    const end = this.oldest + Limits.SEND_WINDOW;
    const due = this.commands.filter(
      ({ state, number }) => state === 'waiting' && number < end && !this.#wired.has(number),
    );
    for (const command of due) command.copies += 1;
    if (due.length > 0) this.#state.saveOutbox();
    for (const { number } of due) this.#wired.add(number);
    return due;
  }

  /** The command that waits under `number`. @param {number} number */
  waiting(number) {
    return this.commands.find((command) => command.number === number && command.state === 'waiting') ?? null;
  }

  /** The message whose image has this origin, unless it is known to be stored or refused. @param {Uint8Array} sender @param {number} number */
  origin(sender, number) {
    const known = hexOf(sender);
    const current = hexOf(this.#state.sender);
    return this.commands.find((command) => {
      if (command.method !== 0 || command.number !== number) return false;
      return command.state === 'waiting' ? known === current : command.state === 'unsure' && known === command.sender;
    }) ?? null;
  }

  /** It is done: stored, or carried out. @param {Command} command */
  finish(command) {
    this.#wired.delete(command.number);
    this.#state.commands = this.commands.filter((other) => other !== command);
    this.#state.saveOutbox();
  }

  /**
   * Takes a refusal.
   * @param {Command} command
   * @param {Refusal} refusal
   * @returns {number | null} when to send it again, in milliseconds; null when it is final
   */
  refuse(command, { reason, detail, retryMs }) {
    this.#wired.delete(command.number);
    command.copies = Math.max(0, command.copies - 1);
    if (reason === Reason.SENDER_EXPIRED) this.#isExpired = true;
    if (isPassing(reason) || (reason === Reason.SENDER_EXPIRED && command.copies === 0)) {
      this.#state.saveOutbox();
      return retryMs ?? RETRY_MS;
    }
    const isUnsure = reason === Reason.STALE || reason === Reason.SENDER_EXPIRED;
    Object.assign(command, { state: isUnsure ? 'unsure' : 'refused', reason, detail });
    if (isUnsure) command.sender = hexOf(this.#state.sender);
    this.#state.saveOutbox();
    return null;
  }

  /**
   * Goes over to `sender`, or to none until the server issues one. What cannot have been stored keeps its order under
   * new numbers; what may have been becomes unsure.
   * @param {Uint8Array | null} sender
   * @returns {Command[]} those that became unsure
   */
  renew(sender) {
    this.#wired.clear();
    this.#isExpired = false;
    const old = hexOf(this.#state.sender);
    this.#state.sender = sender;
    this.#state.next = 1;
    const unsure = [];
    for (const command of this.commands) {
      if (command.state !== 'waiting') continue;
      if (command.copies > 0) {
        Object.assign(command, { state: 'unsure', reason: Reason.SENDER_EXPIRED, sender: old });
        unsure.push(command);
      } else {
        command.number = this.#state.next;
        this.#state.next += 1;
      }
    }
    this.#state.saveOutbox();
    return unsure;
  }

  /** Gives a command that was refused, or may not have arrived, a new number at the end. @param {Command} command */
  retry(command) {
    this.#state.commands = this.commands.filter((other) => other !== command);
    Object.assign(command, { number: this.#state.next, sender: '', copies: 0, state: 'waiting', reason: Reason.OK, detail: '' });
    this.#append(command);
  }

  /** @param {Command} command */
  #append(command) {
    if (command.body.length > Limits.BODY_BYTES) throw new RangeError(`a body is at most ${Limits.BODY_BYTES} bytes`);
    encodePacket(packetOf(command, command.number, 0)); // throws for what can never be sent
    const before = this.commands;
    this.#state.commands = [...before, command];
    this.#state.next += 1;
    try {
      this.#state.saveOutbox();
    } catch (error) {
      this.#state.commands = before;
      throw error;
    }
  }

  /** Forgets a command that is not waiting. @param {Command} command */
  discard(command) {
    this.#state.commands = this.commands.filter((other) => other !== command || other.state === 'waiting');
    this.#state.saveOutbox();
  }
}

/**
 * The packet of a command.
 * @param {Command} command
 * @param {number} oldest
 * @param {number} request the id of a CALL
 * @returns {import('./codec.js').Packet}
 */
export function packetOf({ number, channel, flags, tlvs, body, method }, oldest, request) {
  if (method === 0) return { kind: Kind.SEND, number, oldest, channel, flags, body, tlvs };
  return { kind: Kind.CALL, request, method, number, oldest, fields: body, tlvs };
}

/** @param {MessageOptions} options */
function flagsOf({ silent = false, mentions = [], mentionAll = false }) {
  return ImageFlag.COUNTABLE | (silent ? ImageFlag.SILENT : 0) | (mentions.length > 0 ? ImageFlag.MENTIONS : 0)
    | (mentionAll ? ImageFlag.MENTION_ALL : 0);
}

/** Tags ascending. @param {MessageOptions} options */
function tlvsOf({ contentType = '', read = 0, replyTo = 0, thread = 0, mentions = [], lifetimeMs = 0, forwarded = '' }) {
  const tlvs = [];
  if (contentType !== '') tlvs.push(textTlv(Tlv.CONTENT_TYPE, contentType));
  if (replyTo > 0) tlvs.push(u64Tlv(Tlv.REPLY_TO, replyTo));
  if (thread > 0) tlvs.push(u64Tlv(Tlv.THREAD, thread));
  if (mentions.length > 0) tlvs.push(idsTlv(Tlv.MENTIONS, mentions));
  if (lifetimeMs > 0) tlvs.push(u64Tlv(Tlv.LIFETIME_MS, lifetimeMs));
  if (forwarded !== '') tlvs.push(textTlv(Tlv.FORWARDED, forwarded));
  if (read > 0) tlvs.push(u64Tlv(Tlv.READ, read));
  return tlvs;
}

/** An id that no other client has. */
export function randomId() {
  return hexOf(globalThis.crypto.getRandomValues(new Uint8Array(12)));
}

/** @param {Uint8Array | null} bytes */
function hexOf(bytes) {
  return Array.from(bytes ?? [], (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Whether a refusal passes by itself, so that the same number is sent again. @param {number} reason */
export function isPassing(reason) {
  const passing = [Reason.BUSY, Reason.STORAGE_FULL, Reason.RATE_LIMITED, Reason.SHUTDOWN];
  return passing.includes(/** @type {never} */ (reason));
}

/** The name of a reason. @param {number} reason */
export function reasonName(reason) {
  return /** @type {Record<number, { name: string }>} */ (ReasonInfo)[reason]?.name ?? `reason ${reason}`;
}

/** A command or a request that was refused. */
export class Refused extends Error {
  /** @param {number} reason @param {string} detail */
  constructor(reason, detail) {
    super(detail === '' ? reasonName(reason) : `${reasonName(reason)}: ${detail}`);
    this.name = 'Refused';
    this.reason = reason;
  }
}
