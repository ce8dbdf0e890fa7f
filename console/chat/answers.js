// @ts-check
// A thread: the message that began it and the answers in it, with a line to write another one.

import { authorOf, channelKey } from './client/codec.js';
import { threadOf } from './client/made.js';
import { avatarOf, byId, make } from './dom.js';
import { closable, tell } from './dialogs.js';
import { contentOf, lineOf } from './message.js';
import { clockTime, dayName, fullTime } from './words.js';

/**
 * @typedef {import('./client/client.js').PostriderClient} PostriderClient
 * @typedef {import('./client/image.js').Channel} Channel
 * @typedef {import('./client/image.js').Image} Image
 */

export class Answers {
  #client;
  #facts;
  #sent;
  /** @type {{ channel: Channel, root: number } | null} what is open */
  #open = null;
  /** @type {Image[]} ascending */
  #images = [];
  #dialog = byId('answers', HTMLDialogElement);
  #list = byId('answers-list', HTMLElement);
  #error = byId('answers-error', HTMLElement);
  #more = byId('answers-more', HTMLButtonElement);
  #text = byId('answers-text', HTMLInputElement);
  #form = byId('answers-form', HTMLFormElement);

  /** @param {PostriderClient} client @param {import('./facts.js').Facts} facts @param {() => void} sent called when something was sent */
  constructor(client, facts, sent) {
    this.#client = client;
    this.#facts = facts;
    this.#sent = sent;
    closable(this.#dialog);
    this.#dialog.addEventListener('close', () => (this.#open = null));
    this.#more.addEventListener('click', () => this.#load());
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#send();
    });
  }

  /** Opens the thread of the message `root`. @param {Channel} channel @param {number} root @param {boolean} mayWrite */
  async show(channel, root, mayWrite) {
    this.#open = { channel, root };
    this.#images = [];
    this.#form.hidden = !mayWrite;
    this.#text.value = '';
    this.#renderRoot('');
    this.#render();
    this.#dialog.showModal();
    await Promise.all([this.#load(), this.#loadRoot()]);
    this.#dialog.querySelector('.sheet-body')?.scrollTo({ top: this.#list.scrollHeight });
  }

  /** A message came. @param {Channel} channel @param {Image} image */
  came(channel, image) {
    if (this.#open === null || channelKey(channel) !== channelKey(this.#open.channel)) return;
    if (threadOf(image) === this.#open.root) this.#take([image]);
    this.#render();
  }

  async #loadRoot() {
    const open = this.#open;
    if (open === null) return;
    const items = await this.#client.history(open.channel, open.root + 1, 1).catch(() => []);
    const root = items.flatMap((item) => ('image' in item ? [item.image] : [])).find(({ seq }) => seq === open.root);
    if (open !== this.#open) return;
    this.#renderRoot(root === undefined ? 'The message is not here any more.' : `${this.#nameOf(authorOf(root))}: ${this.#lineOf(root)}`);
  }

  async #load() {
    const open = this.#open;
    if (open === null) return;
    await tell(this.#error, async () => {
      const before = this.#images[0]?.seq ?? 0;
      const { images, more } = await this.#client.messages.thread(open.channel, open.root, before);
      if (open !== this.#open) return;
      this.#more.hidden = !more;
      this.#take(images);
    });
    this.#render();
  }

  /** @param {Image[]} images */
  #take(images) {
    const known = new Map([...this.#images, ...images].map((image) => [image.seq, image]));
    this.#images = [...known.values()].sort((a, b) => a.seq - b.seq);
  }

  async #send() {
    const open = this.#open;
    const text = this.#text.value.trim();
    if (open === null || text === '') return;
    const isSent = await tell(this.#error, async () => this.#client.send(open.channel, text, { thread: open.root }));
    if (!isSent) return;
    this.#text.value = '';
    this.#sent();
  }

  /** @param {string} text */
  #renderRoot(text) {
    byId('answers-root', HTMLElement).textContent = text;
  }

  #render() {
    this.#list.replaceChildren(...this.#images.map((image) => {
      const name = this.#nameOf(authorOf(image));
      const time = make('time', '', `${dayName(image.timeMs)}, ${clockTime(image.timeMs)}`);
      time.title = fullTime(image.timeMs);
      const head = make('p', 'answer-head', make('strong', '', name), time);
      return make('li', 'answer', avatarOf(`user:${authorOf(image)}`, this.#facts.nameOf(authorOf(image))), make('div', '', head, make('p', '', this.#lineOf(image))));
    }));
    if (this.#images.length === 0) this.#list.replaceChildren(make('li', 'answer is-none', 'No answers yet.'));
  }

  /** @param {Image} image */
  #lineOf(image) {
    return lineOf(contentOf(image, this.#open === null ? null : this.#client.made(this.#open.channel, image.seq)));
  }

  /** @param {string} user */
  #nameOf(user) {
    if (user === this.#client.user) return 'You';
    const channel = this.#open?.channel;
    return channel?.kind === 2 ? this.#facts.nicknameOf(channel.ids[0], user) : this.#facts.nameOf(user);
  }
}
