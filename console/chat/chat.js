// @ts-check
// The chat page of `postrider dev`: who one is, the connection, the list of conversations, and which one is open.

import { PostriderClient } from './client/client.js';
import { channelKey, isId } from './client/codec.js';
import { Rows, byId, dressAvatar, make } from './dom.js';
import { setUpMembers, setUpNewGroup } from './groups.js';
import { Thread } from './thread.js';
import { Timeline } from './timeline.js';
import { preview, shortTime, why } from './words.js';

/** A connection that comes up faster than this is not worth a word. */
const PATIENCE_MS = 700;
const DEVICE_KEY = 'postrider/device';

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

// --- the connection --------------------------------------------------------------------------------------------------

class Banner {
  #banner = byId('banner', HTMLElement);
  #text = byId('banner-text', HTMLElement);
  #count = byId('banner-count', HTMLElement);
  #action = byId('banner-action', HTMLButtonElement);
  #act = () => {};
  /** @type {number | undefined} */
  #timer;

  constructor() {
    this.#action.addEventListener('click', () => this.#act());
  }

  hide() {
    clearTimeout(this.#timer);
    this.#banner.hidden = true;
    this.#text.textContent = '';
  }

  /** @param {string} text @param {string} action @param {() => void} act */
  say(text, action, act) {
    clearTimeout(this.#timer);
    this.#banner.hidden = false;
    this.#count.textContent = '';
    if (this.#text.textContent !== text) this.#text.textContent = text;
    this.#action.hidden = action === '';
    this.#action.textContent = action;
    this.#act = act;
  }

  /** Says it only if it lasts. @param {string} text */
  sayLater(text) {
    clearTimeout(this.#timer);
    if (!this.#banner.hidden) return this.say(text, '', () => {});
    this.#timer = setTimeout(() => this.say(text, '', () => {}), PATIENCE_MS);
  }

  /** @param {number} at when it will be over */
  countDown(at) {
    const left = Math.ceil((at - Date.now()) / 1000);
    if (left <= 0) return;
    this.#count.textContent = `Trying again in ${left} s.`;
    this.#timer = setTimeout(() => this.countDown(at), (at - Date.now()) % 1000 || 1000);
  }
}

/** @type {Record<string, string>} */
const PHASES = {
  idle: 'offline', connecting: 'connecting', online: 'online', waiting: 'offline', replaced: 'open elsewhere',
  refused: 'refused', closed: 'offline',
};

/** @param {PostriderClient} client @param {Banner} banner @param {{ reason: number | null, detail: string, retryMs: number | null }} ending */
function showPhase(client, banner, { reason, detail, retryMs }) {
  byId('phase', HTMLElement).textContent = PHASES[client.phase];
  byId('dot', HTMLElement).className = `dot is-${client.phase}`;
  switch (client.phase) {
    case 'online':
      return banner.hide();
    case 'connecting':
      return banner.sayLater('Connecting…');
    case 'waiting':
      banner.say(reason === null ? 'No connection.' : `No connection: ${why(reason)}.`, 'Try now', () => client.nudge());
      return banner.countDown(Date.now() + (retryMs ?? 0));
    case 'replaced':
      return banner.say('This chat is open in another window.', 'Use here', () => location.reload());
    case 'refused':
      return banner.say(`The server refused: ${reason === null ? detail : why(reason)}.`, 'Reload', () => location.reload());
    default:
      return undefined;
  }
}

// --- the conversations -----------------------------------------------------------------------------------------------

/**
 * @param {PostriderClient} client
 * @param {Rows} rows
 * @param {string} open the address that is open
 * @param {boolean} isReading whether its end is on screen: then nothing in it is unread
 */
function showList(client, rows, open, isReading) {
  const known = client.conversations.sort((a, b) => (b.last?.timeMs ?? 0) - (a.last?.timeMs ?? 0));
  let total = 0;
  rows.show(known.map((conversation) => {
    const address = client.address(conversation.channel);
    const { last } = conversation;
    const isOpen = address === open;
    const unread = isOpen && isReading ? 0 : conversation.unread.length;
    total += unread;
    const line = last === null ? '' : preview(last, client.user);
    const time = last === null ? '' : shortTime(last.timeMs);
    const look = [isOpen, unread, line, time].join('\n');
    return { key: channelKey(conversation.channel), look, build: () => listRow(client, address, isOpen, line, time, unread) };
  }));
  byId('list-empty', HTMLElement).hidden = known.length > 0;
  document.title = `${total > 0 ? `(${total}) ` : ''}${client.user} – Postrider`;
}

/** @param {PostriderClient} client @param {string} address @param {boolean} isOpen @param {string} line @param {string} time @param {number} unread */
function listRow(client, address, isOpen, line, time, unread) {
  const avatar = make('span', '');
  avatar.setAttribute('aria-hidden', 'true');
  dressAvatar(avatar, address);
  const id = address.slice(address.indexOf(':') + 1);
  const name = address === `user:${client.user}` ? 'Notes to self' : id;
  const top = make('span', 'entry-top', make('span', 'entry-name', name), make('span', 'entry-time', time));
  const bottom = make('span', 'entry-bottom', make('span', 'entry-line', line));
  if (unread > 0) {
    const badge = make('span', 'badge', unread > 99 ? '99+' : String(unread), make('span', 'unseen', ' unread'));
    bottom.append(badge);
  }
  const link = make('a', unread > 0 ? 'entry is-unread' : 'entry', avatar, make('span', 'entry-words', top, bottom));
  link.href = `#${address}`;
  if (isOpen) link.setAttribute('aria-current', 'true');
  return make('li', '', link);
}

// --- the page --------------------------------------------------------------------------------------------------------

/** @param {PostriderClient} client */
function run(client) {
  const banner = new Banner();
  const rows = new Rows(byId('list', HTMLElement));
  const thread = new Thread(client);
  const showMembers = setUpMembers(client);
  /** @type {Map<string, Timeline>} */
  const timelines = new Map();
  let open = '';

  /** @param {import('./client/image.js').Channel} channel */
  const timelineOf = (channel) => {
    const key = channelKey(channel);
    const timeline = timelines.get(key) ?? new Timeline(channel);
    timelines.set(key, timeline);
    return timeline;
  };

  let isDue = false;
  /** Shows what changed, once for all that changes at a time. */
  const show = () => {
    if (isDue) return;
    isDue = true;
    queueMicrotask(() => {
      isDue = false;
      showList(client, rows, open, thread.isReading);
      thread.render();
    });
  };

  /** Opens what the address bar names. */
  const route = () => {
    const address = decodeURIComponent(location.hash.slice(1));
    let timeline = null;
    try {
      timeline = address === '' ? null : timelineOf(client.channel(address));
    } catch {
      history.replaceState(null, '', location.search);
    }
    open = timeline === null ? '' : client.address(timeline.channel);
    byId('app', HTMLElement).classList.toggle('is-open', timeline !== null);
    thread.open(timeline);
    show();
  };

  /** @param {string} name @param {(detail: any) => void} act */
  const on = (name, act) => client.addEventListener(name, (event) => {
    act(/** @type {CustomEvent} */ (event).detail);
    show();
  });
  on('state', (ending) => showPhase(client, banner, ending));
  on('message', ({ channel, image }) => timelineOf(channel).add(image));
  on('gap', ({ channel, from, to, why: reason }) => {
    // Without a reason it was skipped because it is old: history has it.
    if (reason === 0) timelineOf(channel).reset();
    else timelineOf(channel).addGap({ from, to, why: reason });
  });
  on('reset', ({ channel }) => timelineOf(channel).reset());
  on('conversation', () => {});
  on('outgoing', (command) => {
    if (command.state === 'stored') timelineOf(command.channel).addStored(command);
  });

  setUpNewGroup(client, (address) => {
    location.hash = address;
  });
  byId('members', HTMLButtonElement).addEventListener('click', () => {
    if (thread.timeline !== null) showMembers(thread.timeline.channel.ids[0]);
  });
  setUpStart(client);
  window.addEventListener('hashchange', route);
  window.addEventListener('online', () => client.nudge());
  document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && client.nudge());
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && open !== '' && document.querySelector('dialog[open]') === null) location.hash = '';
  });

  dressAvatar(byId('me-avatar', HTMLElement), `user:${client.user}`);
  byId('me', HTMLElement).textContent = client.user;
  byId('app', HTMLElement).hidden = false;
  client.connect();
  route();
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
    run(new PostriderClient({ url: ws, user, device: device(), token, storage: localStorage, platform: 'web' }));
  } catch (error) {
    const text = error instanceof Error ? error.message.trim() : String(error);
    welcome(error instanceof NoToken ? `No token for ${user}: ${text}. This page needs a server started by postrider dev.` : `The server cannot be reached: ${text}`, true);
  }
  return undefined;
}

main();
