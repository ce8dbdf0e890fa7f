// @ts-check
// The dialog about oneself: profile, privacy, contacts, blocked users, devices. And the one about another person.

import { ContactState, PresenceState } from './client/fields-people.js';
import { ask, closable, tell, toggle } from './dialogs.js';
import { avatarOf, byId, icon, make, makeButton } from './dom.js';
import { fullTime, lastSeen, shortTime } from './words.js';

/**
 * @typedef {import('./client/client.js').PostriderClient} PostriderClient
 * @typedef {Awaited<ReturnType<PostriderClient['people']['devices']>>[number]} Device
 * @typedef {import('./client/fields-people.js').Contact} Contact
 */

export class Settings {
  #client;
  #facts;
  #dialog = byId('settings', HTMLDialogElement);
  #body = byId('settings-body', HTMLElement);
  #error = byId('settings-error', HTMLElement);

  /** @param {PostriderClient} client @param {import('./facts.js').Facts} facts */
  constructor(client, facts) {
    this.#client = client;
    this.#facts = facts;
    closable(this.#dialog);
  }

  async open() {
    this.#body.replaceChildren();
    this.#error.hidden = true;
    this.#dialog.showModal();
    await this.refresh();
  }

  /** Something about people changed. */
  async refresh() {
    if (!this.#dialog.open) return;
    const { people, user } = this.#client;
    await tell(this.#error, async () => {
      const [[profile], devices, blocked, contacts] = await Promise.all([
        people.profiles([user]), people.devices(), people.blocked(), people.contacts(),
      ]);
      const scrolled = this.#body.scrollTop;
      this.#body.replaceChildren(
        this.#renderProfile(profile), this.#renderPrivacy(profile), this.#renderContacts(contacts), this.#renderBlocked(blocked),
        this.#renderDevices(devices),
      );
      this.#body.scrollTop = scrolled;
    });
  }

  /** @param {import('./client/people.js').Profile} profile */
  #renderProfile(profile) {
    const name = make('input', '');
    const about = make('input', '');
    Object.assign(name, { type: 'text', maxLength: 64, value: profile.name, placeholder: this.#client.user, autocomplete: 'off' });
    Object.assign(about, { type: 'text', maxLength: 250, value: profile.description, placeholder: 'Nothing', autocomplete: 'off' });
    const form = make('form', 'fields', make('label', '', 'Name', name), make('label', '', 'About you', about), make('button', 'primary', 'Save'));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#do(async () => {
        await this.#client.people.setProfile({ name: name.value.trim(), description: about.value.trim() });
        this.#facts.refreshName(this.#client.user);
      });
    });
    return make('section', 'panel-section', make('h3', '', 'Profile'), form);
  }

  /** @param {import('./client/people.js').Profile} profile */
  #renderPrivacy({ receiptsPrivate, presencePrivate, contactsOnly }) {
    const { people } = this.#client;
    return make('section', 'panel-section', make('h3', '', 'Privacy'),
      toggle('Read receipts', 'Off: others do not learn what you have read, nor you of them.', !receiptsPrivate, (isOn) => this.#do(() => people.setProfile({ receiptsPrivate: !isOn }))),
      toggle('Show when you are online', 'Off: others do not learn it, nor you of them.', !presencePrivate, (isOn) => this.#do(() => people.setProfile({ presencePrivate: !isOn }))),
      toggle('Only contacts may write to you', '', contactsOnly, (isOn) => this.#do(() => people.setProfile({ contactsOnly: isOn }))));
  }

  /** @param {Contact[]} contacts */
  #renderContacts(contacts) {
    const { people } = this.#client;
    const rows = contacts.map(({ user, state, text }) => {
      const name = state === ContactState.CONTACT && text !== '' ? text : this.#facts.nameOf(user);
      const sub = state === ContactState.ASKING ? text || 'wants to be your contact' : state === ContactState.ASKED ? 'asked' : name === user ? '' : user;
      const row = personRow(user, name, sub);
      if (state === ContactState.ASKING) {
        row.append(makeButton('primary', 'Accept', () => this.#do(() => people.answerContact(user, true))));
        row.append(makeButton('plain', 'Refuse', () => this.#do(() => people.answerContact(user, false))));
      } else {
        row.append(makeButton('plain', state === ContactState.ASKED ? 'Take back' : 'Remove', () => this.#do(() => people.removeContact(user))));
      }
      return row;
    });
    const list = rows.length === 0 ? make('p', 'panel-sub', 'Nobody yet. Ask from the head of a conversation.') : make('ul', '', ...rows);
    return make('section', 'panel-section', make('h3', '', 'Contacts'), list);
  }

  /** @param {string[]} blocked */
  #renderBlocked(blocked) {
    const rows = blocked.map((user) => {
      const row = personRow(user, this.#facts.nameOf(user), '');
      row.append(makeButton('plain', 'Unblock', () => this.#do(() => this.#client.people.block(user, false))));
      return row;
    });
    const list = rows.length === 0 ? make('p', 'panel-sub', 'Nobody.') : make('ul', '', ...rows);
    return make('section', 'panel-section', make('h3', '', 'Blocked'), list);
  }

  /** @param {Device[]} devices */
  #renderDevices(devices) {
    const sorted = [...devices].sort((a, b) => Number(b.isThis) - Number(a.isThis) || b.lastMs - a.lastMs);
    const rows = sorted.map((device) => {
      const when = device.isThis ? 'this device' : device.isOnline ? 'online' : `last used ${shortTime(device.lastMs)}`;
      const words = make('span', 'member-words', make('span', 'member-name', device.platform || 'Device'), make('span', 'member-sub', `${device.device} · ${when}`));
      words.title = `First ${fullTime(device.firstMs)}`;
      const row = make('li', 'member', make('span', device.isOnline ? 'face is-online' : 'face', make('span', 'avatar is-plain', icon('device', 18))), words);
      if (!device.isThis) row.append(makeButton('plain', 'Remove', () => this.#askRemove(device.device)));
      return row;
    });
    const section = make('section', 'panel-section', make('h3', '', 'Devices'), make('ul', '', ...rows));
    if (devices.length > 1) section.append(makeButton('panel-action is-dangerous', 'Remove all others', () => this.#askRemove('')));
    return section;
  }

  /** @param {string} device '' for all others */
  #askRemove(device) {
    ask(device === '' ? 'Remove all other devices?' : 'Remove this device?', 'It is signed out at once.', [
      { text: 'Remove', isDangerous: true, act: () => this.#do(() => this.#client.people.removeDevice(device)) },
    ]);
  }

  /** @param {() => Promise<unknown>} work */
  async #do(work) {
    if (await tell(this.#error, work)) await this.refresh();
  }
}

/** @param {string} user @param {string} name @param {string} sub */
function personRow(user, name, sub) {
  const words = make('span', 'member-words', make('span', 'member-name', name));
  if (sub !== '') words.append(make('span', 'member-sub', sub));
  return make('li', 'member', avatarOf(`user:${user}`, name), words);
}

export class PersonPanel {
  #client;
  #facts;
  #dialog = byId('person', HTMLDialogElement);
  #body = byId('person-body', HTMLElement);
  #error = byId('person-error', HTMLElement);
  #user = '';

  /** @param {PostriderClient} client @param {import('./facts.js').Facts} facts */
  constructor(client, facts) {
    this.#client = client;
    this.#facts = facts;
    closable(this.#dialog);
  }

  /** @param {string} user */
  async open(user) {
    this.#user = user;
    this.#body.replaceChildren();
    this.#error.hidden = true;
    byId('person-title', HTMLElement).textContent = this.#facts.nameOf(user);
    this.#dialog.showModal();
    await this.refresh();
  }

  /** Something about people changed. */
  async refresh() {
    if (!this.#dialog.open) return;
    const { people } = this.#client;
    const user = this.#user;
    await tell(this.#error, async () => {
      const [[profile], contacts, blocked] = await Promise.all([people.profiles([user]), people.contacts(), people.blocked()]);
      if (user !== this.#user) return;
      const contact = contacts.find((one) => one.user === user) ?? { user, state: ContactState.NONE, text: '' };
      this.#body.replaceChildren(this.#renderHead(profile), this.#renderActions(contact, blocked.includes(user)));
    });
  }

  /** @param {import('./client/people.js').Profile} profile */
  #renderHead({ name, description }) {
    const user = this.#user;
    const big = avatarOf(`user:${user}`, name || user);
    big.classList.add('is-big');
    const { state, lastSeenMs, platforms } = this.#client.live.presenceOf(user);
    const on = platforms.length > 0 ? ` · ${platforms.join(', ')}` : '';
    const there = state === PresenceState.ONLINE ? `online${on}` : state === PresenceState.OFFLINE && lastSeenMs > 0 ? lastSeen(lastSeenMs) : '';
    const head = make('section', 'panel-head', big, make('p', 'panel-name', name || user), make('p', 'panel-sub', [`user:${user}`, there].filter(Boolean).join(' · ')));
    if (description !== '') head.append(make('p', 'panel-text', description));
    return head;
  }

  /** @param {Contact} contact @param {boolean} isBlocked */
  #renderActions({ user, state, text }, isBlocked) {
    const { people } = this.#client;
    const section = make('section', 'panel-section');
    /** @param {string} name @param {string} label @param {() => Promise<unknown>} work @param {boolean} [isDangerous] */
    const action = (name, label, work, isDangerous = false) => {
      const button = make('button', isDangerous ? 'panel-action is-dangerous' : 'panel-action', icon(name, 18), label);
      button.type = 'button';
      button.addEventListener('click', () => this.#do(work));
      section.append(button);
    };
    if (state === ContactState.ASKING && text !== '') section.append(make('p', 'panel-text', `“${text}”`));
    if (state === ContactState.NONE) action('plus', 'Ask to be a contact', () => people.askContact(user));
    if (state === ContactState.ASKED) action('close', 'Take back the contact request', () => people.removeContact(user));
    if (state === ContactState.ASKING) {
      action('plus', 'Accept as a contact', () => people.answerContact(user, true));
      action('close', 'Refuse', () => people.answerContact(user, false));
    }
    if (state === ContactState.CONTACT) action('close', 'Remove from contacts', () => people.removeContact(user));
    action('block', isBlocked ? 'Unblock' : 'Block', () => people.block(user, !isBlocked), !isBlocked);
    return section;
  }

  /** @param {() => Promise<unknown>} work */
  async #do(work) {
    if (await tell(this.#error, work)) await this.refresh();
  }
}
