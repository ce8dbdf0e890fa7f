// @ts-check
// One message as it shows: who, what it answers, its words, reactions, how far it got, and what can be done with it.

import { mentioned } from './client/made.js';
import { tlvU64 } from './client/codec.js';
import { ImageFlag, Tlv } from './client/registry.js';
import { thingOf } from './contents.js';
import { icon, iconButton, make, makeButton } from './dom.js';
import { ERASED, clockTime, fullTime, sizeOf, snippet, textOf, why } from './words.js';

/**
 * @typedef {import('./client/image.js').Image} Image
 * @typedef {import('./client/image.js').TlvField} TlvField
 * @typedef {import('./client/made.js').Made} Made
 * @typedef {import('./client/outbox.js').Command} Command
 * @typedef {{ body: Uint8Array, tlvs: TlvField[], flags: number, version: number, isErased: boolean, isEdited: boolean,
 *   replyTo: number, thread: number }} Content `thread`: the seq of the message in whose thread it is an answer
 * @typedef {object} Message
 * @property {string} key
 * @property {number} seq 0 while it is not stored
 * @property {string} author
 * @property {number} timeMs
 * @property {Content} content
 * @property {Made | null} made
 * @property {boolean} isShown whether the page can show it
 * @property {Command | null} command what is not stored yet, or never
 * @typedef {'waiting' | 'stored' | 'delivered' | 'read' | 'refused' | 'unsure'} Progress
 * @typedef {object} Surroundings what of the conversation a message needs
 * @property {string} me
 * @property {boolean} isGroup
 * @property {boolean} isOpen whether one may write here
 * @property {(user: string) => string} nameOf
 * @property {(seq: number) => { author: string, text: string, isErased: boolean } | null} quoted what is known of a message
 * @property {(message: Message) => string} readBy who has read it, in words; '' when that is not told
 * @property {Deeds} deeds
 * @typedef {object} Deeds what can be done with messages
 * @property {(message: Message) => void} reply
 * @property {(message: Message, anchor: HTMLElement) => void} more
 * @property {(message: Message, anchor: HTMLElement) => void} pickReaction
 * @property {(message: Message, reaction: string, isOn: boolean) => void} react
 * @property {(seq: number) => void} jump
 * @property {(message: Message) => void} readers
 * @property {(seq: number) => void} openThread
 * @property {(command: Command) => void} retry
 * @property {(command: Command) => void} discard
 */

/** What a page makes more of than words: addresses of the web, and names behind an at sign. */
const PARTS = /(https?:\/\/[^\s<>"]+[^\s<>".,;:!?)\]])|@([A-Za-z0-9._~:@+=-]{1,128})/g;
/** One to three pictures and nothing else. */
const PICTURES = /^(?:\p{Extended_Pictographic}(?:\uFE0F|\u200D\p{Extended_Pictographic}|[\u{1F3FB}-\u{1F3FF}])*){1,3}$/u;

/** @type {Record<Progress, string>} */
const SAID = {
  waiting: 'sending', stored: 'stored', delivered: 'delivered', read: 'read', refused: 'not sent', unsure: 'perhaps sent',
};

/** What a message says now. @param {{ body: Uint8Array, tlvs: TlvField[], flags: number }} image @param {Made | null} made @returns {Content} */
export function contentOf({ body, tlvs, flags }, made) {
  const isErased = (flags & ImageFlag.ERASED) !== 0 || (made?.erased ?? false);
  const version = made?.version ?? 0;
  return {
    body: made?.edit?.body ?? body,
    tlvs: made?.edit?.tlvs ?? tlvs,
    flags,
    version,
    isErased,
    isEdited: !isErased && (version > 0 || (flags & ImageFlag.EDITED) !== 0),
    replyTo: tlvU64(tlvs, Tlv.REPLY_TO) ?? 0,
    thread: tlvU64(tlvs, Tlv.THREAD) ?? 0,
  };
}

/** @param {Message} message @param {Progress} progress @param {boolean} isFirst @param {boolean} isLast of a run of one author @param {Surroundings} around */
export function lookOf(message, progress, isFirst, isLast, around) {
  const { content, made, command, author } = message;
  const quoted = content.replyTo || content.thread;
  const quote = quoted === 0 ? null : around.quoted(quoted);
  const reactions = made?.reactions.map(({ reaction, count, own }) => [reaction, count, own]);
  return JSON.stringify([
    isFirst, isLast, progress, command?.reason, content.isErased, content.version, made?.pinned, made?.answers, reactions, quote, around.isOpen,
    isFirst && around.isGroup ? around.nameOf(author) : '', around.readBy(message),
  ]);
}

/** @param {Message} message @param {Progress} progress @param {boolean} isFirst @param {boolean} isLast of a run of one author @param {Surroundings} around */
export function buildMessage(message, progress, isFirst, isLast, around) {
  const { author, command, content, made, seq } = message;
  const isOwn = author === around.me;
  const row = make('li', `row ${isOwn ? 'is-own' : 'is-other'} is-${progress}`);
  row.dataset.seq = String(seq);
  row.classList.toggle('is-first', isFirst);
  row.classList.toggle('is-last', isLast);
  row.classList.toggle('is-erased', content.isErased);
  const isNamed = around.isGroup && isFirst && !isOwn;
  row.append(make('span', isNamed ? 'author' : 'unseen', isOwn ? 'You' : around.nameOf(author)));
  const bubble = buildBubble(message, isOwn ? progress : null, around);
  const line = make('div', 'line', bubble);
  if (command === null && seq > 0 && around.isOpen) line.append(buildTools(message, around));
  row.append(line);
  if (made !== null && made.reactions.length > 0 && !content.isErased) row.append(buildReactions(message, made, around));
  if (made !== null && made.answers > 0 && !content.isErased) {
    row.append(makeButton('answers', made.answers === 1 ? '1 answer' : `${made.answers} answers`, () => around.deeds.openThread(seq)));
  }
  const readBy = around.readBy(message);
  if (readBy !== '') row.append(makeButton('readers', readBy, () => around.deeds.readers(message)));
  if (command !== null && progress !== 'waiting') row.append(buildTrouble(command, around));
  return row;
}

/** @param {Message} message @param {Progress | null} progress null for others' @param {Surroundings} around */
function buildBubble({ content, isShown, timeMs, made }, progress, around) {
  const bubble = make('div', 'bubble');
  if (content.replyTo > 0 && !content.isErased) bubble.append(buildQuote(content.replyTo, () => around.deeds.jump(content.replyTo), around));
  else if (content.thread > 0 && !content.isErased) bubble.append(buildQuote(content.thread, () => around.deeds.openThread(content.thread), around));
  const text = isShown ? textOf(content.body, content.tlvs) : null;
  const thing = isShown ? thingOf(content.body, content.tlvs) : null;
  if (content.isErased) bubble.append(make('p', 'text is-erased', ERASED));
  else if (thing !== null) bubble.append(...buildThing(thing));
  else if (text === null) bubble.append(make('p', 'text is-bytes', sizeOf(content.body)));
  else bubble.append(make('p', PICTURES.test(text) ? 'text is-pictures' : 'text', ...words(text, content, around)));
  const time = make('time', '', clockTime(timeMs));
  time.dateTime = new Date(timeMs).toISOString();
  time.title = fullTime(timeMs);
  const meta = make('span', 'meta');
  if (made?.pinned && !content.isErased) meta.append(icon('pin', 12), make('span', 'unseen', 'pinned'));
  if ((content.flags & ImageFlag.SYSTEM) !== 0) meta.append(make('span', 'system', 'System'));
  if (content.isEdited) meta.append(make('span', '', 'edited'));
  meta.append(time);
  if (progress !== null) meta.append(make('span', `tick is-${progress}`, make('span', 'unseen', SAID[progress])));
  bubble.append(meta);
  return bubble;
}

/** @param {import('./contents.js').Thing} thing */
function buildThing({ line, url, text }) {
  const what = make('p', 'text');
  if (url === '') what.append(line);
  else what.append(link(url, line));
  return text === '' ? [what] : [what, make('p', 'text', text)];
}

/** @param {number} seq @param {() => void} act @param {Surroundings} around */
function buildQuote(seq, act, around) {
  const known = around.quoted(seq);
  const quote = make('button', 'quote',
    make('span', 'quote-author', known === null ? 'A message' : known.author === around.me ? 'You' : around.nameOf(known.author)),
    make('span', known?.isErased ? 'quote-text is-erased' : 'quote-text', known?.text ?? 'from before'));
  quote.type = 'button';
  quote.title = 'Go to that message';
  quote.addEventListener('click', act);
  return quote;
}

/** The text with links and mentions. @param {string} text @param {Content} content @param {Surroundings} around */
function words(text, { tlvs, flags }, around) {
  const users = mentioned(tlvs);
  /** @type {(string | Node)[]} */
  const parts = [];
  let at = 0;
  for (const match of text.matchAll(PARTS)) {
    const [all, url, name = ''] = match;
    const user = users.includes(name) ? name : users.find((one) => name.startsWith(one) && /^[.:]+$/.test(name.slice(one.length)));
    const isAll = name.replace(/[.:]+$/, '') === 'all' && (flags & ImageFlag.MENTION_ALL) !== 0;
    if (url === undefined && user === undefined && !isAll) continue;
    parts.push(text.slice(at, match.index));
    if (url !== undefined) {
      parts.push(link(url));
      at = match.index + all.length;
      continue;
    }
    const told = isAll ? '@all' : `@${user}`;
    parts.push(make('span', isAll || user === around.me ? 'mention is-me' : 'mention', isAll ? told : `@${around.nameOf(user ?? '')}`));
    at = match.index + told.length;
  }
  parts.push(text.slice(at));
  return parts;
}

/** @param {string} url @param {string} [text] */
function link(url, text = url) {
  const node = make('a', '', text);
  node.href = url;
  node.target = '_blank';
  node.rel = 'noopener noreferrer';
  return node;
}

/** @param {Message} message @param {Surroundings} around */
function buildTools(message, around) {
  const more = iconButton('more', 'What to do with this message', () => around.deeds.more(message, more));
  more.classList.add('more');
  more.tabIndex = -1;
  if (message.content.isErased) return make('div', 'tools', more);
  const smile = iconButton('smile', 'React', () => around.deeds.pickReaction(message, smile));
  const reply = iconButton('reply', 'Reply', () => around.deeds.reply(message));
  for (const button of [smile, reply]) button.tabIndex = -1;
  return make('div', 'tools', smile, reply, more);
}

/** @param {Message} message @param {Made} made @param {Surroundings} around */
function buildReactions(message, made, around) {
  const chips = made.reactions.map(({ reaction, count, own }) => {
    const chip = makeButton(own ? 'chip is-own' : 'chip', '', () => around.deeds.react(message, reaction, !own));
    chip.append(make('span', '', reaction), make('span', 'chip-count', String(count)));
    chip.setAttribute('aria-pressed', String(own));
    chip.setAttribute('aria-label', `${reaction}, ${count}`);
    chip.disabled = !around.isOpen;
    return chip;
  });
  return make('div', 'reactions', ...chips);
}

/** @param {Command} command @param {Surroundings} around */
function buildTrouble(command, { deeds }) {
  const text = command.state === 'unsure' ? 'Perhaps sent.' : `Not sent: ${why(command.reason)}.`;
  const again = makeButton('link', 'Send again', () => deeds.retry(command));
  const away = makeButton('link', command.state === 'unsure' ? 'Dismiss' : 'Discard', () => deeds.discard(command));
  return make('p', 'trouble', `${text} `, again, ' ', away);
}

/** What a message says, in one line. @param {Content} content */
export function lineOf(content) {
  return content.isErased ? ERASED : snippet(content);
}
