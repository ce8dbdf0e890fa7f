// @ts-check
// The connection, as far as a person has to know of it.

import { byId } from './dom.js';
import { why } from './words.js';

/** A connection that comes up faster than this is not worth a word. */
const PATIENCE_MS = 700;

/** @type {Record<string, string>} */
const PHASES = {
  idle: 'offline', connecting: 'connecting', online: 'online', waiting: 'offline', replaced: 'open elsewhere',
  refused: 'refused', closed: 'offline',
};

export class Banner {
  #banner = byId('banner', HTMLElement);
  #text = byId('banner-text', HTMLElement);
  #count = byId('banner-count', HTMLElement);
  #action = byId('banner-action', HTMLButtonElement);
  #act = () => {};
  /** @type {number | undefined} */
  #timer;

  constructor() {
    this.#action.addEventListener('click', () => this.#act());
  }

  /** @param {import('./client/client.js').PostriderClient} client @param {{ reason: number | null, detail: string, retryMs: number | null }} ending */
  show(client, { reason, detail, retryMs }) {
    byId('phase', HTMLElement).textContent = PHASES[client.phase];
    byId('dot', HTMLElement).className = `dot is-${client.phase}`;
    switch (client.phase) {
      case 'online':
        return this.#hide();
      case 'connecting':
        return this.#sayLater('Connecting…');
      case 'waiting':
        this.#say(reason === null ? 'No connection.' : `No connection: ${why(reason)}.`, 'Try now', () => client.nudge());
        return this.#countDown(Date.now() + (retryMs ?? 0));
      case 'replaced':
        return this.#say('This chat is open in another window.', 'Use here', () => location.reload());
      case 'refused':
        return this.#say(`The server refused: ${reason === null ? detail : why(reason)}.`, 'Reload', () => location.reload());
      default:
        return undefined;
    }
  }

  #hide() {
    clearTimeout(this.#timer);
    this.#banner.hidden = true;
    this.#text.textContent = '';
  }

  /** @param {string} text @param {string} action @param {() => void} act */
  #say(text, action, act) {
    clearTimeout(this.#timer);
    this.#banner.hidden = false;
    this.#count.textContent = '';
    if (this.#text.textContent !== text) this.#text.textContent = text;
    this.#action.hidden = action === '';
    this.#action.textContent = action;
    this.#act = act;
  }

  /** Says it only if it lasts. @param {string} text */
  #sayLater(text) {
    clearTimeout(this.#timer);
    if (!this.#banner.hidden) return this.#say(text, '', () => {});
    this.#timer = setTimeout(() => this.#say(text, '', () => {}), PATIENCE_MS);
  }

  /** @param {number} at when it will be over */
  #countDown(at) {
    const left = Math.ceil((at - Date.now()) / 1000);
    if (left <= 0) return;
    this.#count.textContent = `Trying again in ${left} s.`;
    this.#timer = setTimeout(() => this.#countDown(at), (at - Date.now()) % 1000 || 1000);
  }
}
