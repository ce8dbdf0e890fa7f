// @ts-check
// The bar of pinned messages above a conversation.

import { authorOf } from './client/codec.js';
import { byId, icon, make } from './dom.js';
import { contentOf, lineOf } from './message.js';

/**
 * @typedef {import('./client/client.js').PostriderClient} PostriderClient
 * @typedef {import('./client/image.js').Image} Image
 * @typedef {import('./timeline.js').Timeline} Timeline
 */

export class Pins {
  #client;
  #facts;
  #jump;
  #bar = byId('pins', HTMLButtonElement);
  /** @type {Timeline | null} */
  #timeline = null;
  /** @type {Image[]} ascending */
  #pinned = [];
  /** Which one shows, counted from the newest. */
  #at = 0;

  /** @param {PostriderClient} client @param {import('./facts.js').Facts} facts @param {(seq: number) => void} jump */
  constructor(client, facts, jump) {
    this.#client = client;
    this.#facts = facts;
    this.#jump = jump;
    this.#bar.addEventListener('click', () => {
      const image = this.#shown;
      if (image === undefined) return;
      this.#jump(image.seq);
      this.#at = (this.#at + 1) % this.#pinned.length;
      this.render();
    });
  }

  /** @param {Timeline | null} timeline */
  open(timeline) {
    this.#timeline = timeline;
    this.#pinned = [];
    this.render();
    this.refresh();
  }

  /** Asks which messages are pinned. */
  async refresh() {
    const timeline = this.#timeline;
    if (timeline === null || this.#client.conversation(timeline.channel) === null) return;
    try {
      const pinned = await this.#client.messages.pins(timeline.channel);
      if (timeline !== this.#timeline) return;
      [this.#pinned, this.#at] = [pinned, 0];
    } catch {
      return;
    }
    this.render();
  }

  /** Shows the one that is due. */
  render() {
    const image = this.#shown;
    this.#bar.hidden = image === undefined;
    if (image === undefined || this.#timeline === null) return;
    const content = contentOf(image, this.#client.made(this.#timeline.channel, image.seq));
    const author = authorOf(image);
    const who = author === this.#client.user ? 'You' : this.#facts.nameOf(author);
    const count = this.#pinned.length > 1 ? ` ${this.#pinned.length - this.#at} of ${this.#pinned.length}` : '';
    this.#bar.replaceChildren(
      icon('pin', 18),
      make('span', 'pin-words', make('strong', '', `Pinned message${count}`), make('span', '', `${who}: ${lineOf(content)}`)),
    );
  }

  get #shown() {
    return this.#pinned.at(-1 - this.#at);
  }
}
