// @ts-check
// A WebSocket whose other end is the test, and a clock that only the test moves.

import { Decoder, decodePacket, encodePacket } from '../codec.js';
import { Kind, Reason } from '../registry.js';

/** @typedef {import('../codec.js').Packet} Packet */

export class FakeClock {
  #now = 1_700_000_000_000;
  /** @type {Map<number, { at: number, run: () => void }>} */
  #timers = new Map();
  #id = 0;

  now() {
    return this.#now;
  }

  random() {
    return 1;
  }

  /** @param {() => void} run @param {number} ms */
  setTimeout(run, ms) {
    this.#id += 1;
    this.#timers.set(this.#id, { at: this.#now + ms, run });
    return this.#id;
  }

  /** @param {any} id */
  clearTimeout(id) {
    this.#timers.delete(id);
  }

  /** Lets `ms` pass, running what becomes due in order. @param {number} ms */
  async pass(ms) {
    const end = this.#now + ms;
    for (;;) {
      await settled();
      const due = [...this.#timers].filter(([, { at }]) => at <= end).sort(([, a], [, b]) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#timers.delete(due[0]);
      this.#now = Math.max(this.#now, due[1].at);
      due[1].run();
    }
    this.#now = end;
    await settled();
  }
}

/** Lets everything run that waits for nothing. */
export function settled() {
  return new Promise((resolve) => setImmediate(resolve));
}

/** The connections that a client makes, for the test to answer. */
export class FakeNetwork {
  /** @type {FakeSocket[]} */
  sockets = [];

  /** The `WebSocket` to give to the client. @returns {any} */
  get WebSocket() {
    const network = this;
    return class extends FakeSocket {
      /** @param {string} url */
      constructor(url) {
        super(url);
        network.sockets.push(this);
      }
    };
  }

  /** The newest connection. */
  get socket() {
    const socket = this.sockets.at(-1);
    if (socket === undefined) throw new Error('no connection was made');
    return socket;
  }
}

export class FakeSocket {
  binaryType = 'blob';
  readyState = 0;
  /** @type {(() => void) | null} */
  onopen = null;
  /** @type {((event: { data: unknown }) => void) | null} */
  onmessage = null;
  /** @type {((event: { code: number }) => void) | null} */
  onclose = null;
  /** @type {Packet[]} what the client sent and the test has not looked at */
  packets = [];
  #decoder = new Decoder();

  /** @param {string} url */
  constructor(url) {
    this.url = url;
  }

  /** @param {Uint8Array} bytes */
  send(bytes) {
    this.#decoder.feed(bytes.slice());
    for (let frame = this.#decoder.next(); frame !== null; frame = this.#decoder.next()) {
      const packet = decodePacket(frame);
      if (packet !== null) this.packets.push(packet);
    }
  }

  close() {
    this.readyState = 3;
  }

  get isClosed() {
    return this.readyState === 3;
  }

  open() {
    this.readyState = 1;
    this.onopen?.();
  }

  /** The connection is lost. @param {number} [code] */
  lose(code = 1006) {
    this.readyState = 3;
    this.onclose?.({ code });
  }

  /** @param {...Packet} packets */
  async say(...packets) {
    for (const packet of packets) {
      const bytes = encodePacket(packet);
      this.onmessage?.({ data: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) });
    }
    await settled();
  }

  /** Takes the next packet of the client, which must be of this kind. @param {number} kind @returns {any} */
  next(kind) {
    const packet = this.packets.shift();
    if (packet?.kind !== kind) throw new Error(`expected kind ${kind}, got ${packet?.kind ?? 'nothing'}`);
    return packet;
  }

  /** CONNECT and CONNACK. @param {Partial<import('../codec.js').Connack>} [fields] @returns {Promise<any>} CONNECT */
  async accept(fields = {}) {
    this.open();
    const connect = this.next(Kind.CONNECT);
    await this.say({
      kind: Kind.CONNACK, reason: Reason.OK, version: 0, versionMin: 0, versionMax: 0, user: 'alice',
      sender: connect.sender[7] === 0 ? Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 7) : connect.sender, serverTimeMs: 1,
      limits: { heartbeatMs: 30_000, deadMs: 90_000, frameBytes: 131_072, bodyBytes: 65_536, syncPage: 100 }, tlvs: [],
      ...fields,
    });
    return connect;
  }

  /** Answers the LIST that is due with these conversations. @param {import('../codec.js').Conversation[]} conversations @param {number} [token] @returns {Promise<any>} LIST */
  async list(conversations, token = 1) {
    const list = /** @type {any} */ (this.packets.find(({ kind }) => kind === Kind.LIST));
    if (list === undefined) throw new Error('no LIST is due');
    this.packets.splice(this.packets.indexOf(list), 1);
    await this.say({
      kind: Kind.LISTED, request: list.request, reason: Reason.OK, token: Uint8Array.of(token), next: new Uint8Array(0),
      conversations, tlvs: [],
    });
    return list;
  }
}
