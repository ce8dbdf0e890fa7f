// @ts-check
// Keeps a connection up: a token for each attempt, back-off between them, and the ends after which there is none.

import { SenderKind, requestSender, textTlv } from './codec.js';
import { Connection } from './connection.js';
import { Kind, Reason, ReasonInfo, Tlv, VERSION } from './registry.js';

/**
 * @typedef {import('./connection.js').Ending} Ending
 * @typedef {'idle' | 'connecting' | 'online' | 'waiting' | 'replaced' | 'refused' | 'closed'} ClientState
 * @typedef {object} LinkOptions
 * @property {Required<Pick<import('./client.js').ClientOptions, 'url' | 'device' | 'token' | 'WebSocket' | 'platform'>>} client
 * @property {import('./connection.js').Clock} clock
 * @property {() => Uint8Array | null} sender the one that the client has
 * @property {(packet: import('./codec.js').Packet) => void} packet
 * @property {(phase: ClientState, ending: Ending) => void} turned another phase has begun
 * @property {() => void} down what belongs to one connection is over
 * @property {(phase: ClientState, ending: Ending) => void} over there will be no other connection
 * @property {() => void} expired the server asks for another sender
 */

export const FIRST_BACKOFF_MS = 1000;
const LAST_BACKOFF_MS = 30_000;
/** How long the app may take for a token. */
const TOKEN_MS = 10_000;
const NO_REASON = { reason: null, detail: '', retryMs: null };

export class Link {
  #options;
  /** @type {ClientState} */
  #phase = 'idle';
  /** @type {Connection | null} */
  #connection = null;
  /** Counts attempts to connect, so that a late token finds out that it is late. */
  #attempts = 0;
  /** Failures since a connection last did its work. */
  #failures = 0;
  /** @type {unknown} the next attempt, or the end of this one's patience for a token */
  #backoff = null;

  /** @param {LinkOptions} options */
  constructor(options) {
    this.#options = options;
  }

  get phase() {
    return this.#phase;
  }

  get isOver() {
    return this.#phase === 'replaced' || this.#phase === 'refused' || this.#phase === 'closed';
  }

  /** The connection, when it can be used. */
  get online() {
    return this.#phase === 'online' ? this.#connection : null;
  }

  connect() {
    this.#attempt();
  }

  /** The server has accepted the connection. */
  accepted() {
    this.#turn('online', NO_REASON);
  }

  /** The connection has done its work: a later failure is the first one again. */
  proved() {
    this.#failures = 0;
  }

  /** Connects at once, or finds out whether the connection lives. */
  nudge() {
    if (this.#phase === 'waiting') this.#attempt();
    else this.#connection?.probe();
  }

  /** Ends the connection for a reason that an answer gave. @param {Ending} ending */
  again(ending) {
    this.#connection?.close();
    this.#ended(ending);
  }

  /** Ends it for ever. @param {'replaced' | 'refused' | 'closed'} phase @param {Ending} ending */
  finish(phase, ending) {
    this.#connection?.close();
    this.#disconnect();
    this.#options.clock.clearTimeout(this.#backoff);
    this.#turn(phase, ending);
    this.#options.over(phase, ending);
  }

  async #attempt() {
    const { clock, client } = this.#options;
    clock.clearTimeout(this.#backoff);
    this.#attempts += 1;
    const attempt = this.#attempts;
    this.#turn('connecting', NO_REASON);
    const { token, url, WebSocket, device, platform } = client;
    this.#backoff = clock.setTimeout(() => this.#ended({ ...NO_REASON, detail: 'no token in time' }), TOKEN_MS);
    try {
      const proof = new TextEncoder().encode(typeof token === 'string' ? token : await token());
      if (this.#phase !== 'connecting' || attempt !== this.#attempts) return;
      clock.clearTimeout(this.#backoff);
      const tlvs = platform === '' ? [] : [textTlv(Tlv.PLATFORM, platform)];
      const sender = this.#options.sender() ?? requestSender(SenderKind.KEPT);
      this.#connection = new Connection({
        url,
        WebSocket,
        clock,
        connect: { kind: Kind.CONNECT, versionMin: VERSION, versionMax: VERSION, token: proof, device, sender, tlvs },
        onPacket: (packet) => this.#options.packet(packet),
        onEnd: (ending) => this.#ended(ending),
      });
    } catch (error) {
      if (this.#phase !== 'connecting' || attempt !== this.#attempts) return;
      this.#ended({ ...NO_REASON, detail: error instanceof Error ? error.message : String(error) });
    }
  }

  /** @param {Ending} ending */
  #ended(ending) {
    const { clock, client, expired } = this.#options;
    this.#disconnect();
    clock.clearTimeout(this.#backoff);
    const retry = ending.reason === null ? 'reconnect' : retryOf(ending.reason);
    if (retry === 'terminal') return this.finish('replaced', ending);
    // A device that its user removed comes back when they sign in again, not by itself.
    const isSignedOut = ending.reason === Reason.DEVICE_REMOVED;
    const oldToken = retry === 'new token' && typeof client.token === 'string';
    if (retry === 'never' || oldToken || isSignedOut) return this.finish('refused', ending);
    if (retry === 'new sender') expired();
    const atOnce = retry === 'new sender' && this.#failures === 0;
    const most = atOnce ? 0 : Math.min(LAST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** this.#failures);
    const wait = Math.max((most * (1 + clock.random())) / 2, (ending.retryMs ?? 0) * (1 + clock.random() / 4));
    this.#failures += 1;
    this.#backoff = clock.setTimeout(() => this.#attempt(), wait);
    this.#turn('waiting', { ...ending, retryMs: wait });
  }

  #disconnect() {
    this.#connection = null;
    this.#options.down();
  }

  /** @param {ClientState} phase @param {Ending} ending */
  #turn(phase, ending) {
    this.#phase = phase;
    this.#options.turned(phase, ending);
  }
}

/** What the registry says about trying again after `reason`. @param {number} reason */
export function retryOf(reason) {
  return /** @type {Record<number, { retry: string }>} */ (ReasonInfo)[reason]?.retry ?? 'reconnect';
}
