// @ts-check
// One WebSocket: CONNECT, frames in and out, heartbeats, and one ending with its reason.

import { CodecError, Decoder, decodePacket, encodePacket, textTlv, tlvText, tlvU32 } from './codec.js';
import { Kind, Reason, ReasonInfo, Tlv } from './registry.js';

/**
 * @typedef {import('./codec.js').Packet} Packet
 * @typedef {{ now(): number, random(): number, setTimeout(run: () => void, ms: number): unknown,
 *   clearTimeout(timer: any): void }} Clock
 * @typedef {{ reason: number | null, detail: string, retryMs: number | null }} Ending `reason` null: the connection was
 *   lost, or never came up
 * @typedef {{ url: string, WebSocket: typeof globalThis.WebSocket, clock: Clock, connect: Packet,
 *   onPacket(packet: Packet): void, onEnd(ending: Ending): void }} ConnectionOptions
 */

/** From the start to CONNACK. */
const CONNECT_MS = 10_000;
/** From a PING that doubts the connection to any sign of life. */
const PROBE_MS = 5_000;
/** A heartbeat of 0 would be a PING without end. */
const SHORTEST_HEARTBEAT_MS = 100;
/** WebSocket close codes are the reason and this. */
const CLOSE_CODE = 4000;

/** @type {Clock} */
export const PLATFORM_CLOCK = {
  now: () => Date.now(),
  random: () => Math.random(),
  setTimeout: (run, ms) => globalThis.setTimeout(run, ms),
  clearTimeout: (timer) => globalThis.clearTimeout(timer),
};

export class Connection {
  #options;
  #socket;
  #decoder = new Decoder();
  #ended = false;
  #heartbeatMs = 0;
  #deadMs = 0;
  #sentMs = 0;
  #pingedMs = 0;
  #heardMs = 0;
  /** How often something came. */
  #heard = 0;
  /** @type {unknown} */
  #timer = null;

  /** @param {ConnectionOptions} options */
  constructor(options) {
    this.#options = options;
    const { clock, connect } = options;
    this.#socket = new options.WebSocket(options.url);
    this.#socket.binaryType = 'arraybuffer';
    this.#socket.onopen = () => this.send(connect);
    this.#socket.onmessage = ({ data }) => this.#receive(data);
    this.#socket.onclose = ({ code }) => {
      const reason = code - CLOSE_CODE in ReasonInfo ? code - CLOSE_CODE : null;
      this.#end({ reason, detail: '', retryMs: null });
    };
    this.#timer = clock.setTimeout(() => this.fail('no CONNACK in time'), CONNECT_MS);
  }

  /** @param {Packet} packet */
  send(packet) {
    if (this.#ended) return;
    this.#sentMs = this.#options.clock.now();
    this.#socket.send(/** @type {Uint8Array<ArrayBuffer>} */ (encodePacket(packet)));
  }

  /** The connection is done with: says so and ends it, without `onEnd`. */
  close() {
    this.#bye(Reason.OK, '');
    this.#detach();
  }

  /** Ends the connection as one that cannot go on; `onEnd` is told. @param {string} detail */
  fail(detail) {
    this.#end({ reason: null, detail, retryMs: null });
  }

  /** Asks for a sign of life, because there is doubt. */
  probe() {
    if (this.#ended || this.#heartbeatMs === 0) return;
    const { clock } = this.#options;
    const heard = this.#heard;
    this.#ping();
    clock.setTimeout(() => {
      if (this.#heard === heard) this.fail('no sign of life');
    }, PROBE_MS);
  }

  /** @param {unknown} data */
  #receive(data) {
    if (this.#ended) return;
    this.#heardMs = this.#options.clock.now();
    this.#heard += 1;
    try {
      if (!(data instanceof ArrayBuffer)) throw new CodecError('a message that is not binary', 0);
      this.#decoder.feed(new Uint8Array(data));
      for (let frame = this.#decoder.next(); frame !== null && !this.#ended; frame = this.#decoder.next()) {
        const packet = decodePacket(frame);
        if (packet !== null) this.#packet(packet);
      }
    } catch (error) {
      if (error instanceof CodecError) this.#bye(error.reason, error.message);
      this.fail(error instanceof Error ? error.message : String(error));
    }
  }

  /** @param {Packet} packet */
  #packet(packet) {
    switch (packet.kind) {
      case Kind.PING:
        return this.send({ kind: Kind.PONG, tlvs: [] });
      case Kind.PONG:
        return;
      case Kind.DISCONNECT:
        return this.#end(endingOf(packet));
      case Kind.CONNACK:
        if (packet.reason !== Reason.OK) return this.#end(endingOf(packet));
        this.#heartbeatMs = Math.max(SHORTEST_HEARTBEAT_MS, packet.limits.heartbeatMs);
        this.#deadMs = Math.max(2 * this.#heartbeatMs, packet.limits.deadMs);
        this.#beat();
        return this.#options.onPacket(packet);
      default:
        return this.#options.onPacket(packet);
    }
  }

  /** Sends PING when for a heartbeat nothing was said or nothing heard, and gives up after a long silence. */
  #beat() {
    const { clock } = this.#options;
    clock.clearTimeout(this.#timer);
    if (this.#ended) return;
    const now = clock.now();
    const deadAt = this.#heardMs + this.#deadMs;
    if (now >= deadAt) return this.fail('the server is silent');
    if (now >= this.#pingAt) this.#ping();
    this.#timer = clock.setTimeout(() => this.#beat(), Math.max(1, Math.min(this.#pingAt, deadAt) - now));
  }

  get #pingAt() {
    return Math.max(Math.min(this.#sentMs, this.#heardMs), this.#pingedMs) + this.#heartbeatMs;
  }

  #ping() {
    this.#pingedMs = this.#options.clock.now();
    this.send({ kind: Kind.PING, tlvs: [] });
  }

  /** @param {number} reason @param {string} detail */
  #bye(reason, detail) {
    if (this.#ended || this.#socket.readyState !== 1) return;
    this.send({ kind: Kind.DISCONNECT, reason, tlvs: detail === '' ? [] : [textTlv(Tlv.DETAIL, detail)] });
  }

  /** @param {Ending} ending */
  #end(ending) {
    if (this.#ended) return;
    this.#detach();
    this.#options.onEnd(ending);
  }

  #detach() {
    this.#ended = true;
    this.#options.clock.clearTimeout(this.#timer);
    this.#socket.onopen = null;
    this.#socket.onmessage = null;
    this.#socket.onclose = null;
    this.#socket.close();
  }
}

/** @param {{ reason: number, tlvs: import('./image.js').TlvField[] }} packet @returns {Ending} */
export function endingOf({ reason, tlvs }) {
  return { reason, detail: tlvText(tlvs, Tlv.DETAIL), retryMs: tlvU32(tlvs, Tlv.RETRY_AFTER_MS) };
}
