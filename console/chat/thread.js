// @ts-check
// The open conversation: its messages, and where one writes.

import { authorOf } from './client/codec.js';
import { GapReason, ImageKind } from './client/registry.js';
import { Rows, byId, dressAvatar, make, makeButton } from './dom.js';
import { clockTime, dayKey, dayName, eventText, fullTime, isBeyondUs, sizeOf, textOf, why } from './words.js';

/**
 * @typedef {import('./client/client.js').PostriderClient} PostriderClient
 * @typedef {import('./client/outbox.js').Command} Command
 * @typedef {import('./timeline.js').Timeline} Timeline
 * @typedef {import('./dom.js').Row} Row
 * @typedef {{ key: string, author: string, timeMs: number, body: Uint8Array,
 *   tlvs: import('./client/image.js').TlvField[], isShown: boolean, command: Command | null }} Message
 */

/** Messages of one author within this time are one run. */
const RUN_MS = 5 * 60_000;
/** So near to the end counts as the end, in pixels. */
const AT_END = 48;
/** So near to the beginning loads more. */
const NEAR_TOP = 300;

export class Thread {
  #client;
  /** @type {Timeline | null} */
  #timeline = null;
  #scroll = byId('scroll', HTMLElement);
  #top = byId('top', HTMLElement);
  #list = byId('messages', HTMLElement);
  #rows = new Rows(this.#list);
  #newest = byId('newest', HTMLButtonElement);
  #text = byId('text', HTMLTextAreaElement);
  #send = byId('send', HTMLButtonElement);
  #error = byId('compose-error', HTMLElement);
  #wasAtEnd = true;
  /** Whether the thread was opened just now and nobody has moved it. */
  #isFresh = false;
  /** @type {number | undefined} */
  #seenTimer;

  /** @param {PostriderClient} client */
  constructor(client) {
    this.#client = client;
    this.#scroll.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    this.#newest.addEventListener('click', () => this.#toEnd());
    this.#text.addEventListener('input', () => this.#written());
    this.#text.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit();
    });
    byId('compose', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
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
    if (this.#timeline !== null) this.#timeline.draft = this.#text.value;
    this.#timeline = timeline;
    byId('open', HTMLElement).hidden = timeline === null;
    byId('nothing', HTMLElement).hidden = timeline !== null;
    if (timeline === null) return;
    timeline.newFrom = this.#client.conversation(timeline.channel)?.unread[0] ?? 0;
    this.#text.value = timeline.draft;
    this.#written();
    this.#rows.show([]);
    this.#wasAtEnd = true;
    this.#isFresh = true;
    this.render();
    this.#toNew();
    this.#load();
    if (matchMedia('(pointer: fine)').matches) this.#text.focus();
  }

  /** Shows what changed. */
  render() {
    const timeline = this.#timeline;
    if (timeline === null) return;
    this.#renderHead(timeline);
    this.#renderTop(timeline);
    this.#rows.show(this.#messageRows(timeline));
    this.#keepEnd();
    this.#scrolled();
  }

  /** @param {Timeline} timeline */
  #renderHead({ channel }) {
    const address = this.#client.address(channel);
    const conversation = this.#client.conversation(channel);
    const isGroup = address.startsWith('group:');
    const id = address.slice(address.indexOf(':') + 1);
    byId('title', HTMLElement).textContent = id === this.#client.user && !isGroup ? 'Notes to self' : id;
    byId('subtitle', HTMLElement).textContent = address;
    dressAvatar(byId('title-avatar', HTMLElement), address);
    const left = conversation?.left ?? false;
    byId('members', HTMLElement).hidden = !isGroup || conversation === null || left;
    byId('closed', HTMLElement).hidden = !left;
    byId('compose', HTMLElement).hidden = left;
  }

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

  /** @param {Timeline} timeline @returns {Row[]} */
  #messageRows(timeline) {
    const me = this.#client.user;
    /** @type {Row[]} */
    const rows = [];
    let day = '';
    /** @type {Message[]} */
    let run = [];
    const endRun = () => {
      rows.push(...run.map((message, at) => this.#messageRow(message, at === 0, at === run.length - 1)));
      run = [];
    };
    /** @param {Message} message */
    const push = (message) => {
      const last = run.at(-1);
      if (last !== undefined && (last.author !== message.author || message.timeMs - last.timeMs > RUN_MS)) endRun();
      run.push(message);
    };
    /** @param {number} timeMs */
    const dated = (timeMs) => {
      if (dayKey(timeMs) === day) return;
      endRun();
      day = dayKey(timeMs);
      rows.push(noteRow(`day ${day}`, 'day', dayName(timeMs)));
    };
    for (const { seq, image, gap } of timeline.items) {
      if (gap !== null) {
        endRun();
        rows.push(noteRow(`gap ${seq}`, 'note', gapText(gap)));
        continue;
      }
      dated(image.timeMs);
      if (seq === timeline.newFrom) {
        endRun();
        rows.push(noteRow('new', 'new', 'New messages'));
      }
      const event = eventText(image, me);
      if (event !== null) {
        endRun();
        rows.push(noteRow(`event ${seq}`, 'note', event));
        continue;
      }
      const isShown = image.kind === ImageKind.MESSAGE && !isBeyondUs(image);
      const { timeMs, body, tlvs } = image;
      push({ key: `seq ${seq}`, author: authorOf(image), timeMs, body, tlvs, isShown, command: null });
    }
    for (const { id, body, tlvs, timeMs } of timeline.stored) {
      dated(timeMs);
      push({ key: `out ${id}`, author: me, timeMs, body, tlvs, isShown: true, command: null });
    }
    for (const command of this.#outgoing(timeline)) {
      dated(command.createdMs);
      const { id, body, tlvs, createdMs } = command;
      push({ key: `out ${id}`, author: me, timeMs: createdMs, body, tlvs, isShown: true, command });
    }
    endRun();
    return rows;
  }

  /** @param {Timeline} timeline */
  #outgoing({ channel }) {
    const key = channel.ids.join(' ');
    return this.#client.outgoing.filter(({ channel: { kind, ids } }) => kind === channel.kind && ids.join(' ') === key);
  }

  /** @param {Message} message @param {boolean} isFirst @param {boolean} isLast @returns {Row} */
  #messageRow(message, isFirst, isLast) {
    const { key, author, timeMs, body, tlvs, isShown, command } = message;
    const isOwn = author === this.#client.user;
    const state = command?.state ?? 'stored';
    const look = `${isFirst} ${isLast} ${state} ${command?.reason}`;
    const build = () => {
      const row = make('li', `row ${isOwn ? 'is-own' : 'is-other'} is-${state}`);
      row.classList.toggle('is-first', isFirst);
      row.classList.toggle('is-last', isLast);
      const isGroup = this.#timeline?.channel.kind === 2;
      const name = make('span', isGroup && isFirst && !isOwn ? 'author' : 'unseen', isOwn ? 'You' : author);
      row.append(name, makeBubble(isShown ? textOf(body, tlvs) : null, body, timeMs, isOwn ? state : ''));
      if (command !== null && state !== 'waiting') row.append(this.#trouble(command));
      return row;
    };
    return { key, look, build };
  }

  /** @param {Command} command */
  #trouble(command) {
    const text = command.state === 'unsure' ? 'Perhaps sent.' : `Not sent: ${why(command.reason)}.`;
    const again = makeButton('link', 'Send again', () => this.#client.retry(command));
    const away = makeButton('link', command.state === 'unsure' ? 'Dismiss' : 'Discard', () => {
      this.#client.discard(command);
      this.render();
    });
    return make('p', 'trouble', `${text} `, again, ' ', away);
  }

  // --- writing -----------------------------------------------------------------------------------------------------

  #written() {
    this.#send.disabled = this.#text.value.trim() === '';
    this.#error.hidden = true;
    this.#text.style.height = 'auto';
    this.#text.style.height = `${this.#text.scrollHeight}px`;
    this.#keepEnd();
  }

  #submit() {
    const timeline = this.#timeline;
    const text = this.#text.value.trim();
    if (timeline === null || text === '') return;
    const read = this.#isAtEnd ? (this.#client.conversation(timeline.channel)?.cursor ?? 0) : 0;
    try {
      this.#client.send(timeline.channel, text, { read });
    } catch (error) {
      this.#error.textContent = error instanceof RangeError ? 'That is too long for one message.' : String(error);
      this.#error.hidden = false;
      return;
    }
    this.#text.value = '';
    timeline.newFrom = 0;
    this.#isFresh = false;
    this.#written();
    this.render();
    this.#toEnd();
    this.#text.focus();
  }

  // --- scrolling ---------------------------------------------------------------------------------------------------

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
    return (this.#timeline && this.#client.conversation(this.#timeline.channel)?.unread.length) ?? 0;
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
    if (conversation !== null && conversation.unread.length > 0) {
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
    this.#rows.show(this.#messageRows(timeline));
    this.#scroll.scrollTop = wasAtEnd ? this.#scroll.scrollHeight : scrollTop + this.#scroll.scrollHeight - scrollHeight;
    this.#list.setAttribute('aria-busy', 'false');
    this.#scrolled();
    this.#toNew();
  }
}

/** @param {string} key @param {string} className @param {string} text @returns {Row} */
function noteRow(key, className, text) {
  return { key, look: text, build: () => make('li', className, make('span', '', text)) };
}

/** @param {{ from: number, to: number, why: number }} gap */
function gapText({ from, to, why: reason }) {
  if (reason === GapReason.NOT_VISIBLE) return 'What was written before is not visible to you';
  const count = to - from + 1;
  const what = count === 1 ? 'A message' : `${count} messages`;
  return reason === GapReason.TRIMMED ? `${what} no longer kept` : `${what} damaged in storage`;
}

/** @param {string | null} text @param {Uint8Array} body @param {number} timeMs @param {string} state '' for others' */
function makeBubble(text, body, timeMs, state) {
  const time = make('time', '', clockTime(timeMs));
  time.dateTime = new Date(timeMs).toISOString();
  time.title = fullTime(timeMs);
  const meta = make('span', 'meta', time);
  if (state !== '') {
    const said = { waiting: 'sending', stored: 'stored', refused: 'not sent', unsure: 'perhaps sent' }[state] ?? state;
    meta.append(make('span', `tick is-${state}`, make('span', 'unseen', said)));
  }
  return make('div', 'bubble', text === null ? make('p', 'text is-bytes', sizeOf(body)) : make('p', 'text', text), meta);
}
