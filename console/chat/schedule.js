// @ts-check
// Messages for later: a clock beside the button that sends, and the list of what waits in the open conversation.

import { byId, icon, make, makeButton, toast } from './dom.js';
import { closable, said, tell } from './dialogs.js';
import { openMenu } from './menu.js';
import { clockTime, dayName, sizeOf, textOf, why } from './words.js';

/**
 * @typedef {import('./client/client.js').PostriderClient} PostriderClient
 * @typedef {import('./client/image.js').Channel} Channel
 * @typedef {import('./client/fields-schedule.js').Scheduled} Scheduled
 */

const HOUR_MS = 3_600_000;

export class Later {
  #client;
  #compose;
  /** @type {Channel | null} */
  #channel = null;
  /** @type {Scheduled[]} by time */
  #waiting = [];
  /** @type {Scheduled | null} what is given another time; null for what is in the field */
  #changed = null;
  #clock = byId('later', HTMLButtonElement);
  #line = byId('later-line', HTMLButtonElement);
  #list = byId('later-dialog', HTMLDialogElement);
  #when = byId('when-dialog', HTMLDialogElement);
  #time = byId('when-time', HTMLInputElement);
  #text = byId('when-text', HTMLTextAreaElement);

  /**
   * @param {PostriderClient} client
   * @param {{ text: () => string, take: () => () => void }} compose what is written; taking it, which returns what puts it back
   */
  constructor(client, compose) {
    this.#client = client;
    this.#compose = compose;
    for (const dialog of [this.#list, this.#when]) closable(dialog);
    this.#clock.addEventListener('click', () => this.#offer());
    this.#line.addEventListener('click', () => this.#show());
    byId('when-form', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      this.#confirm();
    });
  }

  /** @param {Channel | null} channel @param {boolean} mayWrite */
  open(channel, mayWrite) {
    this.#channel = channel;
    this.#clock.hidden = !mayWrite;
    this.#waiting = [];
    this.#render();
    this.refresh();
  }

  /** Asks for what waits. */
  async refresh() {
    const channel = this.#channel;
    if (channel === null) return;
    try {
      const waiting = await this.#client.schedule.list(channel);
      if (channel === this.#channel) this.#waiting = waiting;
    } catch {
      return; // Without a connection it is asked again when there is one.
    }
    this.#render();
  }

  #offer() {
    if (this.#compose.text() === '') return toast('Write the message first, then choose when it is sent.');
    const hour = new Date(Date.now() + HOUR_MS);
    const tomorrow = new Date();
    tomorrow.setDate(tomorrow.getDate() + 1);
    tomorrow.setHours(9, 0, 0, 0);
    openMenu(this.#clock, [
      { icon: 'clock', text: `In an hour, at ${clockTime(hour.getTime())}`, act: () => this.#make(hour.getTime(), this.#compose.text()) },
      { icon: 'clock', text: 'Tomorrow at nine', act: () => this.#make(tomorrow.getTime(), this.#compose.text()) },
      { icon: 'edit', text: 'Choose a time…', act: () => this.#ask(null) },
    ], 'Send later');
  }

  /** @param {Scheduled | null} changed */
  #ask(changed) {
    this.#changed = changed;
    this.#text.value = changed === null ? this.#compose.text() : (textOf(changed.plan.body, changed.tlvs) ?? '');
    this.#time.value = localTime(changed?.plan.dueMs ?? Date.now() + HOUR_MS);
    byId('when-error', HTMLElement).hidden = true;
    this.#list.close();
    this.#when.showModal();
  }

  async #confirm() {
    const dueMs = new Date(this.#time.value).getTime();
    const text = this.#text.value.trim();
    const isDone = await tell(byId('when-error', HTMLElement), async () => {
      if (Number.isNaN(dueMs)) throw new Error('choose a day and a time');
      if (text === '') throw new Error('there is nothing to send');
      if (this.#changed === null) await this.#schedule(dueMs, text);
      else if (this.#channel !== null) await this.#client.schedule.edit(this.#channel, this.#changed.id, dueMs, text);
    });
    if (!isDone) return;
    this.#when.close();
    this.refresh();
  }

  /** @param {number} dueMs @param {string} text */
  #make(dueMs, text) {
    this.#schedule(dueMs, text).then(() => this.refresh(), (error) => toast(said(error)));
  }

  /** @param {number} dueMs @param {string} text */
  async #schedule(dueMs, text) {
    if (this.#channel === null) return;
    const putBack = this.#compose.take();
    try {
      await this.#client.schedule.make(this.#channel, dueMs, text);
    } catch (error) {
      putBack();
      throw error;
    }
    toast(`It is sent ${whenOf(dueMs)}.`);
  }

  #show() {
    byId('later-error', HTMLElement).hidden = true;
    this.#list.showModal();
    this.#render();
  }

  #render() {
    const count = this.#waiting.length;
    const refused = this.#waiting.filter((it) => it.refused > 0).length;
    this.#line.hidden = count === 0;
    const failed = refused === 0 ? '' : `, ${refused} not sent`;
    this.#line.replaceChildren(icon('clock', 16), make('span', '', `${count} scheduled${failed}`));
    this.#line.classList.toggle('is-refused', refused > 0);
    if (count === 0) this.#list.close();
    byId('later-list', HTMLElement).replaceChildren(...this.#waiting.map((it) => this.#row(it)));
  }

  /** @param {Scheduled} it */
  #row(it) {
    const text = textOf(it.plan.body, it.tlvs);
    const when = it.refused === 0 ? whenOf(it.plan.dueMs) : `Not sent: ${why(it.refused)}.`;
    const row = make('li', 'later', make('p', it.refused === 0 ? 'later-when' : 'later-when is-refused', when), make('p', '', text ?? sizeOf(it.plan.body)));
    const buttons = [
      makeButton('link', 'Send now', () => this.#do((channel) => this.#client.schedule.edit(channel, it.id, 0, text ?? ''))),
      makeButton('link', 'Change', () => this.#ask(it)),
      makeButton('link', 'Delete', () => this.#do((channel) => this.#client.schedule.cancel(channel, it.id))),
    ];
    row.append(make('p', 'later-deeds', ...(text === null ? buttons.slice(2) : buttons)));
    return row;
  }

  /** @param {(channel: Channel) => Promise<unknown>} work */
  async #do(work) {
    const channel = this.#channel;
    if (channel === null) return;
    await tell(byId('later-error', HTMLElement), () => work(channel));
    this.refresh();
  }
}

/** @param {number} ms */
function whenOf(ms) {
  return `${dayName(ms)} at ${clockTime(ms)}`;
}

/** As a field for a day and a time takes it, in the user's time zone. @param {number} ms */
function localTime(ms) {
  const date = new Date(ms);
  date.setMinutes(date.getMinutes() - date.getTimezoneOffset());
  return date.toISOString().slice(0, 16);
}
