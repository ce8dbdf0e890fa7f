// @ts-check
// What a client keeps from one run to the next: sender, counter, unsent commands, list token, conversations. Any
// object with the three methods of `localStorage` does as the storage under it.

import { fromBase64, toBase64 } from './base64.js';
import { channelKey } from './codec.js';
import { Stream } from './stream.js';

/**
 * @typedef {{ getItem(key: string): string | null, setItem(key: string, value: string): void,
 *   removeItem(key: string): void }} Storage
 * @typedef {import('./outbox.js').Command} Command
 */

/** A storage that lasts as long as its object. @implements {Storage} */
export class MemoryStorage {
  /** @type {Map<string, string>} */
  #items = new Map();

  /** @param {string} key */
  getItem(key) {
    return this.#items.get(key) ?? null;
  }

  /** @param {string} key @param {string} value */
  setItem(key, value) {
    this.#items.set(key, value);
  }

  /** @param {string} key */
  removeItem(key) {
    this.#items.delete(key);
  }
}

/**
 * The stored state of one device. One client owns it at a time: the one that claimed it last; two that share a sender
 * would give one number to two messages.
 */
export class State {
  #storage;
  #prefix;
  #owner = '';
  /** @type {Set<string>} the channels that are stored */
  #stored = new Set();

  /** @param {Storage} storage @param {string} user @param {string} device keeps devices apart that share a storage */
  constructor(storage, user, device) {
    this.#storage = storage;
    this.#prefix = `postrider/${user}/${device}/`;
    this.user = user;
    /** @type {Uint8Array | null} */
    this.sender = null;
    /** The number of the next command. */
    this.next = 1;
    /** @type {Uint8Array} what the last LIST returned */
    this.listToken = new Uint8Array(0);
    /** @type {Map<string, Stream>} by channel key */
    this.streams = new Map();
    /** @type {Command[]} what has no answer yet, or a refusal that the app has not dismissed; in order */
    this.commands = [];
    this.#load();
  }

  /** Makes this client the owner. @param {string} owner unique to this client */
  claim(owner) {
    this.#owner = owner;
    this.#storage.setItem(`${this.#prefix}owner`, owner);
    this.#load();
  }

  /** Whether no other client has claimed the state since. */
  get isOurs() {
    return this.#storage.getItem(`${this.#prefix}owner`) === this.#owner;
  }

  #load() {
    const session = this.#get('session');
    this.listToken = fromBase64(session?.listToken ?? '');
    const outbox = this.#get('outbox');
    this.sender = outbox?.sender ? fromBase64(outbox.sender) : null;
    this.next = outbox?.next ?? 1;
    this.commands = (outbox?.commands ?? []).map(restoreCommand);
    this.#stored = new Set(this.#get('channels') ?? []);
    this.streams.clear();
    for (const key of this.#stored) {
      const record = this.#get(`channel/${key}`);
      if (record !== null) this.streams.set(key, Stream.restore(record, this.user));
    }
  }

  saveSession() {
    this.#set('session', { listToken: toBase64(this.listToken) });
  }

  /** Sender, counter and unsent commands are one value: none of them makes sense with an older one of the others. */
  saveOutbox() {
    const sender = this.sender === null ? '' : toBase64(this.sender);
    this.#set('outbox', { sender, next: this.next, commands: this.commands.map(recordCommand) });
  }

  /** @param {Stream} stream */
  saveStream(stream) {
    const key = channelKey(stream.channel);
    this.#set(`channel/${key}`, stream.record());
    if (!this.#stored.has(key)) this.#set('channels', [...this.#stored.add(key)]);
  }

  /** @param {Stream} stream */
  forgetStream(stream) {
    const key = channelKey(stream.channel);
    this.streams.delete(key);
    this.#storage.removeItem(`${this.#prefix}channel/${key}`);
    if (this.#stored.delete(key)) this.#set('channels', [...this.#stored]);
  }

  /** @param {string} key */
  #get(key) {
    const text = this.#storage.getItem(this.#prefix + key);
    return text === null ? null : JSON.parse(text);
  }

  /** @param {string} key @param {unknown} value */
  #set(key, value) {
    this.#storage.setItem(this.#prefix + key, JSON.stringify(value));
  }
}

/** @param {Command} command */
function recordCommand(command) {
  const tlvs = command.tlvs.map(({ tag, value }) => ({ tag, value: toBase64(value) }));
  return { ...command, body: toBase64(command.body), tlvs };
}

/** @param {any} record @returns {Command} */
function restoreCommand(record) {
  const tlvs = record.tlvs.map((/** @type {any} */ tlv) => ({ tag: tlv.tag, value: fromBase64(tlv.value) }));
  return { ...record, body: fromBase64(record.body), tlvs };
}
