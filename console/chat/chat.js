// @ts-check
// The chat page of `postrider dev`: who one is, and which conversation is open.

import { PostriderClient } from './client/client.js';
import { channelKey, isId } from './client/codec.js';
import { Banner } from './banner.js';
import { closable } from './dialogs.js';
import { byId, dressAvatar } from './dom.js';
import { Facts, idOf } from './facts.js';
import { GroupPanel } from './group-panel.js';
import { setUpNewGroup } from './groups.js';
import { List } from './list.js';
import { PersonPanel, Settings } from './settings.js';
import { Thread } from './thread.js';
import { Timeline } from './timeline.js';

const DEVICE_KEY = 'postrider/device';
/** So many of the newest people are watched for whether they are online. */
const WATCHED = 200;

/** This browser as a device. */
function device() {
  const known = localStorage.getItem(DEVICE_KEY);
  if (known !== null) return known;
  const bytes = crypto.getRandomValues(new Uint8Array(6));
  const made = `web-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
  localStorage.setItem(DEVICE_KEY, made);
  return made;
}

/** Why there is no token, and there will be none. */
class NoToken extends Error {}

/** @param {string} user @returns {Promise<{ token: string, ws: string }>} */
async function fetchToken(user) {
  const response = await fetch(`/dev/token?user=${encodeURIComponent(user)}`, { signal: AbortSignal.timeout(8000) });
  if (response.status >= 400 && response.status < 500) throw new NoToken(await response.text());
  if (!response.ok) throw new Error(`the server answers ${response.status}`);
  return response.json();
}

/** @param {string} text @param {boolean} isError */
function welcome(text, isError) {
  byId('welcome', HTMLElement).hidden = false;
  const paragraph = byId('welcome-text', HTMLElement);
  if (text !== '') paragraph.textContent = text;
  paragraph.classList.toggle('error', isError);
  for (const avatar of document.querySelectorAll('[data-avatar]')) {
    if (avatar instanceof HTMLElement) dressAvatar(avatar, avatar.dataset.avatar ?? '');
  }
}

class Page {
  #client;
  #banner = new Banner();
  #facts;
  #list;
  #thread;
  #groupPanel;
  #personPanel;
  #settings;
  /** @type {Map<string, Timeline>} */
  #timelines = new Map();
  /** The address that is open. */
  #open = '';
  #isDue = false;

  /** @param {PostriderClient} client */
  constructor(client) {
    this.#client = client;
    this.#facts = new Facts(client, () => this.#show());
    this.#list = new List(client, this.#facts, (channel) => this.#timelineOf(channel).reset());
    this.#thread = new Thread(client, this.#facts);
    this.#groupPanel = new GroupPanel(client, this.#facts);
    this.#personPanel = new PersonPanel(client, this.#facts);
    this.#settings = new Settings(client, this.#facts);
    this.#listen();
    this.#setUp();
  }

  /** Shows the page and connects. */
  run() {
    byId('app', HTMLElement).hidden = false;
    this.#client.connect();
    this.#route();
  }

  #listen() {
    /** @param {string} name @param {(detail: any) => void} act */
    const on = (name, act) => this.#client.addEventListener(name, (event) => {
      act(/** @type {CustomEvent} */ (event).detail);
      this.#show();
    });
    on('state', (ending) => {
      this.#banner.show(this.#client, ending);
      if (this.#client.phase !== 'online') return;
      this.#facts.connected();
      this.#thread.connected();
    });
    on('message', ({ channel, image }) => {
      this.#timelineOf(channel).add(image);
      this.#facts.see(channel, image);
      this.#thread.came(channel, image);
      if (channel.kind === 2 && image.kind >= 10) this.#groupPanel.refresh(channel.ids[0]);
    });
    on('gap', ({ channel, from, to, why }) => {
      // Without a reason it was skipped because it is old: history has it.
      if (why === 0) this.#timelineOf(channel).reset();
      else this.#timelineOf(channel).addGap({ from, to, why });
    });
    on('reset', ({ channel }) => this.#timelineOf(channel).reset());
    on('hidden', ({ channel, from, to }) => this.#timelineOf(channel).hide(from, to));
    on('outgoing', (command) => {
      if (command.state === 'stored') this.#timelineOf(command.channel).addStored(command);
    });
    on('receipt', ({ channel }) => this.#thread.received(channel));
    on('requests', ({ group }) => this.#groupPanel.refresh(group));
    on('contact', () => {
      this.#settings.refresh();
      this.#personPanel.refresh();
    });
    for (const name of ['conversation', 'made', 'typing', 'presence']) on(name, () => {});
  }

  #setUp() {
    setUpNewGroup(this.#client, (address) => {
      location.hash = address;
    });
    setUpStart(this.#client);
    closable(byId('ask-dialog', HTMLDialogElement));
    byId('me-button', HTMLButtonElement).addEventListener('click', () => this.#settings.open());
    byId('title-button', HTMLButtonElement).addEventListener('click', () => this.#openPanel());
    window.addEventListener('hashchange', () => this.#route());
    window.addEventListener('online', () => this.#client.nudge());
    document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && this.#client.nudge());
    document.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || this.#open === '' || document.querySelector('dialog[open]') !== null) return;
      if (!this.#thread.cancel()) location.hash = '';
    });
  }

  /** @param {import('./client/image.js').Channel} channel */
  #timelineOf(channel) {
    const key = channelKey(channel);
    const timeline = this.#timelines.get(key) ?? new Timeline(channel);
    this.#timelines.set(key, timeline);
    return timeline;
  }

  /** Shows what changed, once for all that changes at a time. */
  #show() {
    if (this.#isDue) return;
    this.#isDue = true;
    queueMicrotask(() => {
      this.#isDue = false;
      const { user } = this.#client;
      const name = this.#facts.nameOf(user);
      dressAvatar(byId('me-avatar', HTMLElement), `user:${user}`, name);
      byId('me', HTMLElement).textContent = name;
      this.#list.show(this.#open, this.#thread.isReading);
      this.#thread.render();
      this.#watchPeople();
    });
  }

  /** Opens what the address bar names. */
  #route() {
    const address = decodeURIComponent(location.hash.slice(1));
    let timeline = null;
    try {
      timeline = address === '' ? null : this.#timelineOf(this.#client.channel(address));
    } catch {
      history.replaceState(null, '', location.search);
    }
    this.#open = timeline === null ? '' : this.#client.address(timeline.channel);
    byId('app', HTMLElement).classList.toggle('is-open', timeline !== null);
    this.#thread.open(timeline);
    this.#show();
  }

  /** Whether those are online with whom there are conversations. */
  #watchPeople() {
    const { user } = this.#client;
    const known = this.#client.conversations.filter(({ channel }) => channel.kind === 1);
    known.sort((a, b) => (b.last?.timeMs ?? 0) - (a.last?.timeMs ?? 0));
    const people = known.map(({ channel }) => idOf(this.#client.address(channel))).filter((other) => other !== user);
    this.#client.live.watchPresence(people.slice(0, WATCHED));
  }

  #openPanel() {
    const id = idOf(this.#open);
    if (this.#open.startsWith('group:')) this.#groupPanel.open(id);
    else if (id === this.#client.user) this.#settings.open();
    else this.#personPanel.open(id);
  }
}

/** Starting a chat with who is not in the list. @param {PostriderClient} client */
function setUpStart(client) {
  const to = byId('start-to', HTMLInputElement);
  const error = byId('start-error', HTMLElement);
  to.addEventListener('input', () => {
    error.hidden = true;
  });
  byId('start', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    const text = to.value.trim();
    const address = /^(user|group):/.test(text) ? text : `user:${text}`;
    try {
      client.channel(address);
    } catch {
      error.textContent = 'An id has letters, digits and . _ ~ : @ + = - and no spaces.';
      error.hidden = false;
      return;
    }
    to.value = '';
    location.hash = address;
  });
}

async function main() {
  const user = new URLSearchParams(location.search).get('user') ?? '';
  if (!isId(user)) return welcome('', false);
  try {
    const { ws } = await fetchToken(user);
    if (ws === null) return welcome('This server does not listen for WebSockets: set listeners.ws.addr.', true);
    const token = async () => (await fetchToken(user)).token;
    new Page(new PostriderClient({ url: ws, user, device: device(), token, storage: localStorage, platform: 'web' })).run();
  } catch (error) {
    const text = error instanceof Error ? error.message.trim() : String(error);
    welcome(error instanceof NoToken ? `No token for ${user}: ${text}. This page needs a server started by postrider dev.` : `The server cannot be reached: ${text}`, true);
  }
  return undefined;
}

main();
