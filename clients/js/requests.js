// @ts-check
// Requests and their answers: LIST, SYNC, and CALLs that change nothing. The server serves one at a time, so one is on
// the wire at a time and the others wait here, where what the user looks at can go first.

import { isPassing } from './outbox.js';

/**
 * @typedef {{ make: (request: number) => import('./codec.js').Packet, done: (answer: any) => void,
 *   failed: ((error: Error) => void) | null }} Request `failed` null: the next connection asks anew by itself
 */

export class Requests {
  #id = 0;
  /** @type {Request[]} go before everything else */
  #first = [];
  /** @type {Request[]} what the app asked for */
  #asked = [];
  /** @type {{ id: number, request: Request } | null} */
  #inService = null;

  /** A new request id. */
  id() {
    this.#id = (this.#id + 1) >>> 0;
    return this.#id;
  }

  /** @param {Request} request */
  ask(request) {
    this.#asked.push(request);
  }

  /** The next page of what was just answered. @param {Request} request */
  goOn(request) {
    this.#first.push(request);
  }

  /**
   * The packet to put on the wire now, or null.
   * @param {{ list(): Request | null, isListed: boolean, sync(): Request | null }} inbox
   */
  take(inbox) {
    if (this.#inService !== null) return null;
    let request = this.#first.shift() ?? inbox.list();
    if (request === null && inbox.isListed) request = this.#asked.shift() ?? inbox.sync();
    if (request === null) return null;
    this.#inService = { id: this.id(), request };
    return request.make(this.#inService.id);
  }

  /**
   * Takes an answer. A refusal that passes by itself is not one: the request is kept, and the caller pauses.
   * @param {{ request: number, reason: number }} answer
   * @returns {boolean} false for such a refusal
   */
  answer(answer) {
    if (this.#inService?.id !== answer.request) return true;
    const { request } = this.#inService;
    this.#inService = null;
    if (isPassing(answer.reason)) {
      this.#first.unshift(request);
      return false;
    }
    request.done(answer);
    return true;
  }

  /** Keeps for the next connection what the app asked for. */
  disconnected() {
    const open = this.#inService === null ? this.#first : [this.#inService.request, ...this.#first];
    this.#asked = [...open.filter(({ failed }) => failed !== null), ...this.#asked];
    this.#first = [];
    this.#inService = null;
  }

  /** There will be no next connection. @param {Error} error */
  fail(error) {
    this.disconnected();
    for (const { failed } of this.#asked.splice(0)) failed?.(error);
  }
}
