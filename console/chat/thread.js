// @ts-check
// The open conversation: its messages, what is unread in it, and how it scrolls.

import { authorOf, channelKey } from './client/codec.js';
import { ImageFlag, ImageKind } from './client/registry.js';
import { Compose } from './compose.js';
import { Answers } from './answers.js';
import { Deeds } from './deeds.js';
import { Rows, byId, makeButton } from './dom.js';
import { Head } from './head.js';
import { rowsOf } from './lines.js';
import { contentOf, lineOf } from './message.js';
import { Pins } from './pins.js';
import { Receipts } from './receipts.js';
import { Later } from './schedule.js';

/**
 * @typedef {import('./client/client.js').PostriderClient} PostriderClient
 * @typedef {import('./timeline.js').Timeline} Timeline
 * @typedef {import('./message.js').Message} Message
 */

/** So near to the end counts as the end, in pixels. */
const AT_END = 48;
/** So near to the beginning loads more. */
const NEAR_TOP = 300;
/** So many pages are loaded to find a message. */
const SEARCH_PAGES = 40;
const FLASH_MS = 1600;

export class Thread {
  #client;
  #facts;
  /** @type {Timeline | null} */
  #timeline = null;
  #scroll = byId('scroll', HTMLElement);
  #top = byId('top', HTMLElement);
  #list = byId('messages', HTMLElement);
  #rows = new Rows(this.#list);
  #newest = byId('newest', HTMLButtonElement);
  #compose;
  #head;
  #pins;
  #receipts;
  #answers;
  #later;
  #deeds;
  /** Whether one may write. */
  #isOpen = true;
  #wasAtEnd = true;
  /** Whether the thread was opened just now and nobody has moved it. */
  #isFresh = false;
  /** @type {number | undefined} */
  #seenTimer;

  /** @param {PostriderClient} client @param {import('./facts.js').Facts} facts */
  constructor(client, facts) {
    this.#client = client;
    this.#facts = facts;
    this.#head = new Head(client, facts);
    this.#receipts = new Receipts(client, facts, () => this.render());
    this.#pins = new Pins(client, facts, (seq) => this.#jump(seq));
    this.#answers = new Answers(client, facts, () => this.#sent());
    this.#compose = new Compose(client, facts, {
      sent: () => this.#sent(),
      grew: () => this.#keepEnd(),
      readNow: () => (this.#isAtEnd && this.#timeline !== null ? (client.conversation(this.#timeline.channel)?.cursor ?? 0) : 0),
      editLast: () => this.#editLast(),
    });
    this.#later = new Later(client, { text: () => this.#compose.written, take: () => this.#compose.take() });
    this.#deeds = new Deeds(client, facts, {
      channel: () => this.#timeline?.channel ?? null,
      reply: (message) => this.#compose.reply(message),
      edit: (message) => this.#compose.edit(message),
      jump: (seq) => this.#jump(seq),
      answers: (seq) => this.#timeline && this.#answers.show(this.#timeline.channel, seq, this.#isOpen),
      readers: (seq) => this.#timeline && this.#receipts.show(this.#timeline.channel, seq),
      render: () => this.render(),
    });
    this.#scroll.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    this.#newest.addEventListener('click', () => this.#toEnd());
    this.#list.addEventListener('keydown', (event) => this.#walk(event));
    this.#list.addEventListener('pointerup', (event) => this.#touched(event));
    document.addEventListener('visibilitychange', () => this.#seen());
    window.addEventListener('resize', () => this.#keepEnd());
  }

  get timeline() {
    return this.#timeline;
  }

  /** Whether the end of the thread is before the user's eyes. */
  get isReading() {
    return this.#timeline !== null && document.visibilityState === 'visible' && this.#isAtEnd;
  }

  /** Shows `timeline`, or nothing. @param {Timeline | null} timeline */
  open(timeline) {
    this.#markRead();
    this.#timeline = timeline;
    byId('open', HTMLElement).hidden = timeline === null;
    byId('nothing', HTMLElement).hidden = timeline !== null;
    this.#client.live.watch(timeline?.channel ?? null);
    this.#compose.open(timeline);
    this.#pins.open(timeline);
    this.#later.open(timeline?.channel ?? null, timeline !== null);
    if (timeline === null) return;
    timeline.newFrom = this.#client.conversation(timeline.channel)?.firstUnread ?? 0;
    this.#rows.show([]);
    this.#wasAtEnd = true;
    this.#isFresh = true;
    this.render();
    this.#toNew();
    this.#load().then(() => this.#receipts.refresh(timeline));
    if (matchMedia('(pointer: fine)').matches) this.#compose.focus();
  }

  /** Leaves what is being answered or edited; false when there was nothing. */
  cancel() {
    return this.#compose.cancel();
  }

  /** Shows what changed. */
  render() {
    const timeline = this.#timeline;
    if (timeline === null) return;
    this.#isOpen = this.#head.render(timeline.channel);
    this.#renderTop(timeline);
    this.#renderRows(timeline);
    this.#pins.render();
    this.#keepEnd();
    this.#scrolled();
  }

  /** A message of `channel` came. @param {import('./client/image.js').Channel} channel @param {import('./client/image.js').Image} image */
  came(channel, image) {
    const timeline = this.#timeline;
    if (timeline === null || channelKey(channel) !== channelKey(timeline.channel)) return;
    this.#answers.came(channel, image);
    if ((image.flags & ImageFlag.SCHEDULED) !== 0 && authorOf(image) === this.#client.user) this.#later.refresh();
    if (image.kind === ImageKind.PINNED || image.kind === ImageKind.REVOKED) this.#pins.refresh();
    if (image.kind === ImageKind.MESSAGE && authorOf(image) === this.#client.user) this.#receipts.refreshSoon(timeline);
  }

  /** Others have read or got something of `channel`. @param {import('./client/image.js').Channel} channel */
  received(channel) {
    const timeline = this.#timeline;
    if (timeline !== null && channel.kind === 2 && channelKey(channel) === channelKey(timeline.channel)) this.#receipts.refreshSoon(timeline);
  }

  /** There is a connection again. */
  connected() {
    this.#pins.refresh();
    this.#later.refresh();
    if (this.#timeline !== null) this.#receipts.refreshSoon(this.#timeline);
  }

  // --- what shows ------------------------------------------------------------------------------------------------------

  /** @param {Timeline} timeline */
  #renderTop(timeline) {
    const cursor = this.#client.conversation(timeline.channel)?.cursor ?? 0;
    const earlier = () => makeButton('plain', timeline.trouble === '' ? 'Earlier messages' : 'Try again', () => this.#load());
    if (timeline.isLoading) this.#top.replaceChildren('Loading…');
    else if (timeline.trouble !== '') this.#top.replaceChildren(`Earlier messages could not be loaded: ${timeline.trouble} `, earlier());
    else if (timeline.isTop) this.#top.replaceChildren('This is the beginning.');
    else if (timeline.isEmpty && cursor === 0) this.#top.replaceChildren(this.#outgoing(timeline).length === 0 ? 'Nothing here yet.' : '');
    else this.#top.replaceChildren(earlier());
  }

  /** @param {Timeline} timeline */
  #renderRows(timeline) {
    const { channel } = timeline;
    const isGroup = channel.kind === 2;
    const me = this.#client.user;
    if (isGroup) this.#facts.membersOf(channel.ids[0]);
    this.#rows.show(rowsOf(timeline, this.#outgoing(timeline), {
      me,
      isGroup,
      isOpen: this.#isOpen,
      nameOf: (user) => (isGroup ? this.#facts.nicknameOf(channel.ids[0], user) : this.#facts.nameOf(user)),
      madeOf: (seq) => this.#client.made(channel, seq),
      progressOf: ({ command, seq, author }) => {
        if (command !== null) return command.state;
        return author === me && seq > 0 ? this.#receipts.progressOf(channel, seq) : 'stored';
      },
      readBy: ({ author, seq }) => (author === me && seq > 0 ? this.#receipts.readBy(channel, seq) : ''),
      quoted: (seq) => this.#quoted(timeline, seq),
      deeds: this.#deeds,
    }));
    // One stop for the Tab key; the arrow keys go on from there.
    const buttons = this.#moreButtons;
    for (const button of buttons) button.tabIndex = -1;
    const last = buttons.at(-1);
    if (last !== undefined) last.tabIndex = 0;
  }

  /** @param {Timeline} timeline @param {number} seq */
  #quoted(timeline, seq) {
    const image = timeline.image(seq);
    if (image === null) return null;
    const content = contentOf(image, this.#client.made(timeline.channel, seq));
    return { author: authorOf(image), text: lineOf(content), isErased: content.isErased };
  }

  /** @param {Timeline} timeline */
  #outgoing({ channel }) {
    const key = channelKey(channel);
    return this.#client.outgoing.filter((command) => channelKey(command.channel) === key);
  }

  // --- by keyboard and by finger ---------------------------------------------------------------------------------------

  get #moreButtons() {
    return /** @type {HTMLElement[]} */ ([...this.#list.querySelectorAll('.more')]);
  }

  /** @param {KeyboardEvent} event */
  #walk(event) {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const buttons = this.#moreButtons;
    const at = buttons.indexOf(/** @type {HTMLElement} */ (event.target));
    if (step === undefined || at < 0) return;
    event.preventDefault();
    buttons[Math.min(Math.max(0, at + step), buttons.length - 1)].focus();
  }

  /** A finger has no hovering: a touched message shows what can be done with it. @param {PointerEvent} event */
  #touched(event) {
    if (event.pointerType === 'mouse' || !(event.target instanceof Element)) return;
    const row = event.target.closest('.row');
    if (event.target.closest('button, a') !== null) return;
    for (const other of this.#list.querySelectorAll('.is-picked')) if (other !== row) other.classList.remove('is-picked');
    row?.classList.toggle('is-picked');
  }

  #editLast() {
    const timeline = this.#timeline;
    const last = timeline?.items.findLast(({ image }) => image?.kind === ImageKind.MESSAGE && authorOf(image) === this.#client.user)?.image;
    if (timeline == null || last == null) return;
    const made = this.#client.made(timeline.channel, last.seq);
    const content = contentOf(last, made);
    if (content.isErased) return;
    this.#compose.edit({
      key: `seq ${last.seq}`, seq: last.seq, author: this.#client.user, timeMs: last.timeMs, content, made, isShown: true, command: null,
    });
  }

  #sent() {
    if (this.#timeline !== null) this.#timeline.newFrom = 0;
    this.#isFresh = false;
    this.render();
    this.#toEnd();
  }

  // --- scrolling -------------------------------------------------------------------------------------------------------

  /** Goes to a message, loading what lies between. @param {number} seq */
  async #jump(seq) {
    const timeline = this.#timeline;
    if (timeline === null) return;
    for (let page = 0; page < SEARCH_PAGES && timeline.image(seq) === null && !timeline.isTop && timeline.trouble === ''; page += 1) {
      await this.#load();
      if (timeline !== this.#timeline) return;
    }
    const row = this.#list.querySelector(`[data-seq="${seq}"]`);
    if (row === null) return;
    row.scrollIntoView({ block: 'center' });
    row.classList.add('is-flashed');
    setTimeout(() => row.classList.remove('is-flashed'), FLASH_MS);
    this.#scrolled();
  }

  get #isAtEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroll;
    return scrollHeight - scrollTop - clientHeight < AT_END;
  }

  #toEnd() {
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
    this.#scrolled();
  }

  /** Begins where the new messages begin, when they are more than fit. */
  #toNew() {
    const line = this.#list.querySelector('.new');
    if (!this.#isFresh || line === null) return;
    this.#isFresh = false;
    const above = line.getBoundingClientRect().top - this.#scroll.getBoundingClientRect().top;
    if (above >= 0) return;
    this.#scroll.scrollTop += above;
    this.#scrolled();
  }

  #keepEnd() {
    if (this.#wasAtEnd) this.#scroll.scrollTop = this.#scroll.scrollHeight;
  }

  #scrolled() {
    this.#wasAtEnd = this.#isAtEnd;
    this.#newest.hidden = this.#wasAtEnd;
    const unread = this.#unread;
    byId('newest-text', HTMLElement).textContent = unread === 0 ? 'Newest' : `${unread} new`;
    if (this.#wasAtEnd) this.#seen();
    const timeline = this.#timeline;
    if (timeline !== null && !timeline.isEmpty && timeline.trouble === '' && this.#scroll.scrollTop < NEAR_TOP) this.#load();
  }

  get #unread() {
    return (this.#timeline && this.#client.conversation(this.#timeline.channel)?.unread) ?? 0;
  }

  /** What is at the end of an open, visible thread is read: soon, so that a burst is one command. */
  #seen() {
    clearTimeout(this.#seenTimer);
    this.#seenTimer = setTimeout(() => this.#markRead(), 400);
  }

  #markRead() {
    clearTimeout(this.#seenTimer);
    if (this.#timeline === null || !this.isReading) return;
    const conversation = this.#client.conversation(this.#timeline.channel);
    if (conversation !== null && (conversation.unread > 0 || conversation.markedUnread)) {
      this.#client.markRead(conversation.channel, conversation.cursor);
    }
  }

  /** Loads a page of history and keeps in place what is on screen. */
  async #load() {
    const timeline = this.#timeline;
    if (timeline === null || timeline.isLoading || timeline.isTop) return;
    const loading = timeline.loadOlder(this.#client);
    if (!timeline.isLoading) return;
    this.#list.setAttribute('aria-busy', 'true');
    this.#renderTop(timeline);
    await loading;
    if (timeline !== this.#timeline) return;
    const { scrollHeight, scrollTop } = this.#scroll;
    const wasAtEnd = this.#wasAtEnd;
    this.#renderTop(timeline);
    this.#renderRows(timeline);
    this.#scroll.scrollTop = wasAtEnd ? this.#scroll.scrollHeight : scrollTop + this.#scroll.scrollHeight - scrollHeight;
    this.#list.setAttribute('aria-busy', 'false');
    this.#scrolled();
    this.#toNew();
  }
}
