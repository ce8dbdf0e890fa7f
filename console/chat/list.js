// @ts-check
// The list of conversations: the pinned ones first, then by their newest image; what is hidden is not in it.

import { channelKey } from './client/codec.js';
import { PresenceState } from './client/fields-people.js';
import { FOR_EVER } from './client/stream.js';
import { Rows, avatarOf, byId, icon, iconButton, make, toast } from './dom.js';
import { idOf } from './facts.js';
import { said } from './dialogs.js';
import { openMenu } from './menu.js';
import { preview, shortTime } from './words.js';

/**
 * @typedef {import('./client/client.js').PostriderClient} PostriderClient
 * @typedef {import('./client/stream.js').Stream} Stream
 * @typedef {import('./facts.js').Facts} Facts
 * @typedef {{ address: string, isOpen: boolean, name: string, line: string, isErased: boolean, time: string, unread: number,
 *   mentions: number, isMarked: boolean, isMuted: boolean, isPinned: boolean, isOnline: boolean, isTyping: boolean }} Look
 */

const HOUR_MS = 3_600_000;
/** The server counts exactly up to this. */
const EXACT = 1000;

export class List {
  #client;
  #facts;
  #rows = new Rows(byId('list', HTMLElement));
  #cleared;

  /** @param {PostriderClient} client @param {Facts} facts @param {(channel: import('./client/image.js').Channel) => void} cleared a history was cleared */
  constructor(client, facts, cleared) {
    this.#client = client;
    this.#facts = facts;
    this.#cleared = cleared;
  }

  /** @param {string} open the address that is open @param {boolean} isReading whether its end is on screen: then nothing in it is unread */
  show(open, isReading) {
    const now = Date.now();
    const known = this.#client.conversations.filter(({ hidden }) => !hidden).sort((a, b) => {
      return Number(b.pinned) - Number(a.pinned) || (b.last?.timeMs ?? 0) - (a.last?.timeMs ?? 0);
    });
    let total = 0;
    this.#rows.show(known.map((conversation) => {
      const look = this.#look(conversation, open, isReading, now);
      if (!look.isMuted) total += look.unread;
      return { key: channelKey(conversation.channel), look: JSON.stringify(look), build: () => this.#row(conversation, look) };
    }));
    byId('list-empty', HTMLElement).hidden = known.length > 0;
    document.title = `${total > 0 ? `(${total}) ` : ''}${this.#client.user} – Postrider`;
  }

  /** @param {Stream} conversation @param {string} open @param {boolean} isReading @param {number} now @returns {Look} */
  #look(conversation, open, isReading, now) {
    const { channel, last } = conversation;
    const address = this.#client.address(channel);
    const isRead = address === open && isReading;
    const { line, isErased } = this.#line(conversation);
    const isPerson = channel.kind === 1 && idOf(address) !== this.#client.user;
    return {
      address,
      isOpen: address === open,
      name: this.#facts.titleOf(address),
      line,
      isErased,
      time: last === null ? '' : shortTime(last.timeMs),
      unread: isRead ? 0 : conversation.unread,
      mentions: isRead ? 0 : conversation.mentions,
      isMarked: conversation.markedUnread && !isRead,
      isMuted: conversation.mutedUntilMs > now,
      isPinned: conversation.pinned,
      isOnline: isPerson && this.#client.live.presenceOf(idOf(address)).state === PresenceState.ONLINE,
      isTyping: this.#client.live.typingIn(channel).length > 0,
    };
  }

  /** @param {Stream} conversation */
  #line({ channel, last, invited, asked }) {
    if (invited) return { line: 'You are invited', isErased: false };
    if (asked) return { line: 'You asked to join', isErased: false };
    if (last === null) return { line: '', isErased: false };
    const group = channel.kind === 2 ? channel.ids[0] : '';
    return preview(last, this.#client.user, (user) => (group === '' ? this.#facts.nameOf(user) : this.#facts.nicknameOf(group, user)));
  }

  /** @param {Stream} conversation @param {Look} look */
  #row(conversation, look) {
    const { address, name, time, unread, isMarked } = look;
    const avatar = make('span', look.isOnline ? 'face is-online' : 'face', avatarOf(address, name));
    const marks = [look.isMuted ? icon('mute', 15) : '', look.isPinned ? icon('pin', 15) : ''].filter((mark) => mark !== '');
    const top = make('span', 'entry-top', make('span', 'entry-name', name), ...marks, make('span', 'entry-time', time));
    const bottom = make('span', 'entry-bottom', this.#lineNode(look));
    if (look.mentions > 0) bottom.append(make('span', 'badge is-mention', '@', make('span', 'unseen', ' mentions you')));
    if (unread > 0) {
      const text = unread > EXACT ? '1000+' : String(unread);
      bottom.append(make('span', look.isMuted ? 'badge is-muted' : 'badge', text, make('span', 'unseen', ' unread')));
    } else if (isMarked) {
      bottom.append(make('span', 'badge is-mark', make('span', 'unseen', 'marked as unread')));
    }
    if (look.isOnline) bottom.append(make('span', 'unseen', 'online'));
    const className = unread > 0 || isMarked ? 'entry is-unread' : 'entry';
    const link = make('a', className, avatar, make('span', 'entry-words', top, bottom));
    link.href = `#${address}`;
    if (look.isOpen) link.setAttribute('aria-current', 'true');
    const more = iconButton('more', `More about ${name}`, () => this.#menu(more, conversation, name));
    more.classList.add('entry-more');
    const row = make('li', 'entry-row', link, more);
    row.addEventListener('contextmenu', (event) => {
      event.preventDefault();
      this.#menu(more, conversation, name);
    });
    return row;
  }

  /** @param {Look} look */
  #lineNode({ isTyping, isErased, line }) {
    if (isTyping) return make('span', 'entry-line is-typing', 'writing', dots());
    return make('span', isErased ? 'entry-line is-erased' : 'entry-line', line);
  }

  /** @param {HTMLElement} anchor @param {Stream} conversation @param {string} name */
  #menu(anchor, conversation, name) {
    const { channel, pinned, mutedUntilMs, unread, markedUnread, last, head } = conversation;
    const isMuted = mutedUntilMs > Date.now();
    const set = (/** @type {import('./client/stream.js').Settings} */ settings) => this.#do(() => this.#client.setConversation(channel, settings));
    const isUnread = unread > 0 || markedUnread;
    /** @type {import('./menu.js').MenuItem[]} */
    const items = [
      isUnread
        ? { icon: 'eye', text: 'Mark as read', act: () => this.#client.markRead(channel, head) }
        : { icon: 'unread', text: 'Mark as unread', act: () => set({ markedUnread: true }) },
      { icon: 'pin', text: pinned ? 'Unpin from top' : 'Pin to top', act: () => set({ pinned: !pinned }) },
    ];
    if (isMuted) items.push({ icon: 'bell', text: 'Unmute', act: () => set({ mutedUntilMs: 0 }) });
    else {
      items.push({ icon: 'mute', text: 'Mute for 8 hours', act: () => set({ mutedUntilMs: Date.now() + 8 * HOUR_MS }) });
      items.push({ icon: 'mute', text: 'Mute', act: () => set({ mutedUntilMs: FOR_EVER }) });
    }
    items.push({ icon: 'hide', text: 'Hide until something new', act: () => set({ hidden: true }) });
    if (last !== null && head > 0) {
      const act = () => this.#do(async () => {
        await this.#client.setConversation(channel, { cleared: head });
        this.#cleared(channel);
      });
      items.push({ icon: 'trash', text: 'Clear for me', isDangerous: true, act });
    }
    openMenu(anchor, items, name);
  }

  /** @param {() => Promise<unknown>} work */
  async #do(work) {
    try {
      await work();
    } catch (error) {
      toast(said(error));
    }
  }
}

/** Three dots that move while somebody writes. */
export function dots() {
  const node = make('span', 'dots', make('i', ''), make('i', ''), make('i', ''));
  node.setAttribute('aria-hidden', 'true');
  return node;
}
