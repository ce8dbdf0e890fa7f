// @ts-check
// How far own messages got. Of one other person it is told; of a group it is asked for the newest own message, and again
// when somebody has read on.

import { authorOf, channelKey } from './client/codec.js';
import { ReceiptState } from './client/fields-marks.js';
import { ImageKind } from './client/registry.js';
import { avatarOf, byId, make } from './dom.js';
import { closable, tell } from './dialogs.js';

/**
 * @typedef {import('./client/client.js').PostriderClient} PostriderClient
 * @typedef {import('./client/image.js').Channel} Channel
 * @typedef {import('./timeline.js').Timeline} Timeline
 * @typedef {{ delivered: number, read: number, seq: number, members: number, readers: number }} Known up to where everybody
 *   has it; of the message `seq`, how many could and did read it
 */

/** A burst of receipts is one question. */
const SOON_MS = 1000;

export class Receipts {
  #client;
  #facts;
  #changed;
  /** @type {Map<string, Known>} */
  #known = new Map();
  /** @type {number | undefined} */
  #timer;
  #dialog = byId('readers-dialog', HTMLDialogElement);

  /** @param {PostriderClient} client @param {import('./facts.js').Facts} facts @param {() => void} changed called when more is known */
  constructor(client, facts, changed) {
    this.#client = client;
    this.#facts = facts;
    this.#changed = changed;
    closable(this.#dialog);
  }

  /** How far the own message `seq` got. @param {Channel} channel @param {number} seq @returns {'stored' | 'delivered' | 'read'} */
  progressOf(channel, seq) {
    const { delivered, read } = this.#of(channel);
    const other = channel.kind === 1 ? (channel.ids.find((id) => id !== this.#client.user) ?? '') : '';
    const told = other === '' ? { delivered: 0, read: 0 } : this.#client.live.markOf(channel, other);
    if (seq <= Math.max(read, told.read)) return 'read';
    return seq <= Math.max(delivered, told.delivered) ? 'delivered' : 'stored';
  }

  /** Who has read the own message `seq` of a group, in words; '' when that is not known. @param {Channel} channel @param {number} seq */
  readBy(channel, seq) {
    const known = this.#of(channel);
    if (channel.kind !== 2 || known.seq !== seq || known.readers === 0) return '';
    return known.readers === known.members ? 'Read by all' : `Read by ${known.readers}`;
  }

  /** Asks for what is shown, soon. @param {Timeline} timeline */
  refreshSoon(timeline) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.refresh(timeline), SOON_MS);
  }

  /** Asks for what is shown. @param {Timeline} timeline */
  async refresh(timeline) {
    const own = timeline.items.flatMap(({ image }) => (image !== null && image.kind === ImageKind.MESSAGE && authorOf(image) === this.#client.user ? [image.seq] : []));
    const newest = own.at(-1);
    const isSelf = timeline.channel.ids[0] === timeline.channel.ids[1];
    if (newest === undefined || isSelf || this.#client.conversation(timeline.channel)?.left) return;
    try {
      if (timeline.channel.kind === 2) await this.#ask(timeline.channel, newest);
      else await this.#search(timeline.channel, own);
    } catch {
      return; // Receipts are switched off, by this user or for everybody.
    }
    this.#changed();
  }

  /** Shows who has a message. @param {Channel} channel @param {number} seq */
  async show(channel, seq) {
    const list = byId('readers-list', HTMLElement);
    list.replaceChildren();
    this.#dialog.showModal();
    await tell(byId('readers-error', HTMLElement), async () => {
      const { users } = await this.#client.messages.receipts(channel, seq);
      const sorted = [...users].sort((a, b) => b.state - a.state);
      list.replaceChildren(...sorted.map(({ user, state }) => this.#row(channel, user, state)));
    });
  }

  /** @param {Channel} channel @param {string} user @param {number} state */
  #row({ kind, ids }, user, state) {
    const name = kind === 2 ? this.#facts.nicknameOf(ids[0], user) : this.#facts.nameOf(user);
    const said = { [ReceiptState.WAITING]: 'not yet', [ReceiptState.DELIVERED]: 'delivered', [ReceiptState.READ]: 'read' }[state] ?? '';
    return make('li', 'member', avatarOf(`user:${user}`, name), make('span', 'member-name', name), make('span', 'member-role', said));
  }

  /** @param {Channel} channel @returns {Known} */
  #of(channel) {
    return this.#known.get(channelKey(channel)) ?? { delivered: 0, read: 0, seq: 0, members: 0, readers: 0 };
  }

  /** @param {Channel} channel @param {number} seq */
  async #ask(channel, seq) {
    const { members, delivered, read } = await this.#client.messages.receipts(channel, seq);
    const known = { ...this.#of(channel), seq, members, readers: read };
    if (members > 0 && delivered >= members) known.delivered = Math.max(known.delivered, seq);
    if (members > 0 && read >= members) known.read = Math.max(known.read, seq);
    this.#known.set(channelKey(channel), known);
    return known;
  }

  /** Finds the newest own message that the other one has read, and has. @param {Channel} channel @param {number[]} own ascending */
  async #search(channel, own) {
    for (const of of /** @type {const} */ (['delivered', 'read'])) {
      let [low, high] = [0, own.length - 1];
      while (low <= high) {
        // The newest first: mostly it is that one.
        const at = high === own.length - 1 && low === 0 ? high : Math.floor((low + high) / 2);
        if (this.#of(channel)[of] >= own[at] || (await this.#ask(channel, own[at]))[of] >= own[at]) low = at + 1;
        else high = at - 1;
      }
    }
  }
}
