// @ts-check
// Where one writes: a new message, an answer, or other words for an old one; names are completed behind an @.

import { byId, icon, iconButton, make } from './dom.js';
import { said } from './dialogs.js';
import { lineOf } from './message.js';
import { textOf } from './words.js';

/**
 * @typedef {import('./client/client.js').PostriderClient} PostriderClient
 * @typedef {import('./facts.js').Facts} Facts
 * @typedef {import('./message.js').Message} Message
 * @typedef {import('./timeline.js').Timeline} Timeline
 */

const SUGGESTIONS = 6;
const NAME_AT_CARET = /(^|[\s(])@([A-Za-z0-9._~:@+=-]*)$/;
const NAMES = /(^|[\s(])@([A-Za-z0-9._~:@+=-]+)/g;

export class Compose {
  #client;
  #facts;
  #sent;
  /** @type {Timeline | null} */
  #timeline = null;
  /** @type {{ what: 'reply' | 'edit', message: Message } | null} */
  #about = null;
  #form = byId('compose', HTMLFormElement);
  #text = byId('text', HTMLTextAreaElement);
  #send = byId('send', HTMLButtonElement);
  #error = byId('compose-error', HTMLElement);
  #context = byId('context', HTMLElement);
  #suggestions = byId('suggestions', HTMLElement);
  #picked = 0;

  /**
   * @param {PostriderClient} client @param {Facts} facts
   * @param {{ sent: () => void, grew: () => void, readNow: () => number, editLast: () => void }} thread `readNow`: the highest seq on screen
   */
  constructor(client, facts, thread) {
    this.#client = client;
    this.#facts = facts;
    this.#sent = thread;
    this.#text.addEventListener('input', () => this.#written(true));
    this.#text.addEventListener('blur', () => this.#suggest([]));
    this.#text.addEventListener('keydown', (event) => this.#key(event));
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
  }

  /** @param {Timeline | null} timeline */
  open(timeline) {
    if (this.#timeline !== null) {
      if (this.#about?.what !== 'edit') this.#timeline.draft = this.#text.value;
      this.#client.live.typing(this.#timeline.channel, false);
    }
    this.#timeline = timeline;
    this.#setAbout(null);
    this.#text.value = timeline?.draft ?? '';
    this.#written(false);
  }

  focus() {
    this.#text.focus();
  }

  /** What is written, unless it is other words for an old message. */
  get written() {
    return this.#about?.what === 'edit' ? '' : this.#text.value.trim();
  }

  /** Takes what is written out, to be sent in another way. What it returns puts it back where it was, unless other words are there by then. */
  take() {
    const timeline = this.#timeline;
    const text = this.#text.value;
    this.#empty();
    return () => {
      if (timeline !== this.#timeline) {
        if (timeline !== null) timeline.draft ||= text;
        return;
      }
      this.#text.value ||= text;
      this.#written(false);
    };
  }

  /** The next message answers this one. @param {Message} message */
  reply(message) {
    if (this.#about?.what === 'edit') this.#text.value = '';
    this.#setAbout({ what: 'reply', message });
    this.#written(false);
    this.focus();
  }

  /** Other words for an own message. @param {Message} message */
  edit(message) {
    this.#setAbout({ what: 'edit', message });
    this.#text.value = textOf(message.content.body, message.content.tlvs) ?? '';
    this.#written(false);
    this.focus();
    this.#text.setSelectionRange(this.#text.value.length, this.#text.value.length);
  }

  /** Leaves reply or edit; false when there was nothing to leave. */
  cancel() {
    if (this.#suggestions.childElementCount > 0) {
      this.#suggest([]);
      return true;
    }
    if (this.#about === null) return false;
    if (this.#about.what === 'edit') this.#text.value = this.#timeline?.draft ?? '';
    this.#setAbout(null);
    this.#written(false);
    return true;
  }

  #empty() {
    this.#text.value = '';
    this.#setAbout(null);
    this.#written(false);
  }

  /** @param {{ what: 'reply' | 'edit', message: Message } | null} about */
  #setAbout(about) {
    this.#about = about;
    this.#context.hidden = about === null;
    this.#send.setAttribute('aria-label', about?.what === 'edit' ? 'Save' : 'Send');
    if (about === null) return this.#sent.grew();
    const { author, content } = about.message;
    const name = author === this.#client.user ? 'yourself' : this.#facts.nameOf(author);
    const title = about.what === 'edit' ? 'Edit message' : `Reply to ${name}`;
    const away = iconButton('close', about.what === 'edit' ? 'Do not edit' : 'Do not reply', () => {
      this.cancel();
      this.focus();
    });
    this.#context.replaceChildren(
      icon(about.what, 20), make('span', 'context-words', make('strong', '', title), make('span', '', lineOf(content))), away,
    );
    return this.#sent.grew();
  }

  /** @param {boolean} isTyping whether a person did it */
  #written(isTyping) {
    this.#send.disabled = this.#text.value.trim() === '';
    this.#error.hidden = true;
    this.#text.style.height = 'auto';
    this.#text.style.height = `${this.#text.scrollHeight}px`;
    this.#sent.grew();
    if (!isTyping || this.#timeline === null) return;
    if (this.#about?.what !== 'edit') this.#client.live.typing(this.#timeline.channel, this.#text.value.trim() !== '');
    this.#suggest(this.#matches());
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const options = this.#suggestions.children;
    if (options.length > 0 && ['ArrowDown', 'ArrowUp', 'Enter', 'Tab'].includes(event.key) && !event.isComposing) {
      event.preventDefault();
      if (event.key === 'ArrowDown') this.#pick((this.#picked + 1) % options.length);
      else if (event.key === 'ArrowUp') this.#pick((this.#picked + options.length - 1) % options.length);
      else this.#complete(/** @type {HTMLElement} */ (options[this.#picked]).dataset.user ?? '');
      return;
    }
    if (event.key === 'ArrowUp' && this.#text.value === '') {
      event.preventDefault();
      this.#sent.editLast();
    } else if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      this.#submit();
    }
  }

  #submit() {
    const timeline = this.#timeline;
    const text = this.#text.value.trim();
    if (timeline === null || text === '') return;
    const { channel } = timeline;
    const about = this.#about;
    const { mentions, mentionAll } = this.#mentionsIn(text);
    if (about?.what === 'edit') {
      this.cancel();
      const { seq, content } = about.message;
      if (text === textOf(content.body, content.tlvs)) return;
      this.#client.messages.edit(channel, seq, content.version, text, { mentions }).catch((error) => this.#refused(error));
      return;
    }
    try {
      const replyTo = about?.message.seq ?? 0;
      this.#client.send(channel, text, { read: this.#sent.readNow(), replyTo, mentions, mentionAll });
    } catch (error) {
      return this.#refused(error);
    }
    this.#client.live.typing(channel, false);
    this.#empty();
    this.#sent.sent();
    this.focus();
  }

  /** @param {unknown} error */
  #refused(error) {
    this.#error.textContent = error instanceof RangeError ? 'That is too long for one message.' : said(error);
    this.#error.hidden = false;
  }

  // --- names behind an @ ---------------------------------------------------------------------------------------------

  get #group() {
    return this.#timeline?.channel.kind === 2 ? this.#timeline.channel.ids[0] : null;
  }

  /** Who may be meant by what stands before the caret. */
  #matches() {
    const match = NAME_AT_CARET.exec(this.#text.value.slice(0, this.#text.selectionStart));
    const group = this.#group;
    if (match === null || group === null) return [];
    const wanted = match[2].toLowerCase();
    const users = this.#facts.membersOf(group).map(({ user }) => user).filter((user) => user !== this.#client.user);
    const found = users.filter((user) => {
      const name = this.#facts.nicknameOf(group, user).toLowerCase();
      return user.toLowerCase().startsWith(wanted) || name.startsWith(wanted);
    });
    if ('all'.startsWith(wanted) && this.#facts.isAdmin(group)) found.push('all');
    return found.length === 1 && found[0] === match[2] ? [] : found.slice(0, SUGGESTIONS);
  }

  /** @param {string[]} users */
  #suggest(users) {
    const group = this.#group ?? '';
    this.#suggestions.hidden = users.length === 0;
    this.#text.setAttribute('aria-expanded', String(users.length > 0));
    this.#suggestions.replaceChildren(...users.map((user, at) => {
      const name = user === 'all' ? 'Everybody' : this.#facts.nicknameOf(group, user);
      const option = make('li', 'suggestion', make('span', '', name), make('span', 'suggestion-id', `@${user}`));
      option.id = `suggestion-${at}`;
      option.dataset.user = user;
      option.setAttribute('role', 'option');
      option.addEventListener('pointerdown', (event) => {
        event.preventDefault();
        this.#complete(user);
      });
      return option;
    }));
    if (users.length > 0) this.#pick(0);
    else this.#text.removeAttribute('aria-activedescendant');
  }

  /** @param {number} at */
  #pick(at) {
    this.#picked = at;
    [...this.#suggestions.children].forEach((option, n) => option.setAttribute('aria-selected', String(n === at)));
    this.#text.setAttribute('aria-activedescendant', `suggestion-${at}`);
  }

  /** @param {string} user */
  #complete(user) {
    const caret = this.#text.selectionStart;
    const before = this.#text.value.slice(0, caret).replace(NAME_AT_CARET, (_, space) => `${space}@${user} `);
    this.#text.value = before + this.#text.value.slice(caret).replace(/^ /, '');
    this.#text.setSelectionRange(before.length, before.length);
    this.#written(true);
  }

  /** The members whom a text names. @param {string} text */
  #mentionsIn(text) {
    const group = this.#group;
    if (group === null) return { mentions: [], mentionAll: false };
    const named = [...text.matchAll(NAMES)].map(([, , name]) => name.replace(/[.:]+$/, ''));
    const members = new Set(this.#facts.membersOf(group).map(({ user }) => user));
    const mentionAll = named.includes('all') && !members.has('all') && this.#facts.isAdmin(group);
    return { mentions: named.filter((name) => members.has(name) && name !== this.#client.user), mentionAll };
  }
}
