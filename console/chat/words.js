// @ts-check
// What the page says: times, bodies, events and reasons in words.

import { CodecError, authorOf, decodeUsers, tlvText } from './client/codec.js';
import { ImageKind, Reason, ReasonInfo, Tlv } from './client/registry.js';

/** @typedef {import('./client/image.js').Image} Image */

const TIME = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const WEEKDAY = new Intl.DateTimeFormat(undefined, { weekday: 'long' });
const DATE = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long', year: 'numeric' });
const SHORT_DATE = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const DAY_MS = 86_400_000;

/** Days from the day of `ms` to today. @param {number} ms */
function daysAgo(ms) {
  const day = new Date(ms).setHours(0, 0, 0, 0);
  return Math.round((new Date().setHours(0, 0, 0, 0) - day) / DAY_MS);
}

/** @param {number} ms */
export const clockTime = (ms) => TIME.format(ms);

/** @param {number} ms */
export const fullTime = (ms) => FULL.format(ms);

/** A key that is the same for times of one day. @param {number} ms */
export const dayKey = (ms) => new Date(ms).toDateString();

/** The day of `ms` as a heading. @param {number} ms */
export function dayName(ms) {
  const days = daysAgo(ms);
  if (days === 0) return 'Today';
  if (days === 1) return 'Yesterday';
  return days > 0 && days < 7 ? WEEKDAY.format(ms) : DATE.format(ms);
}

/** `ms` in the space of a list. @param {number} ms */
export function shortTime(ms) {
  const days = daysAgo(ms);
  if (days <= 0) return TIME.format(ms);
  if (days === 1) return 'Yesterday';
  return days < 7 ? WEEKDAY.format(ms) : SHORT_DATE.format(ms);
}

/** The body as text, or null when it is none. @param {Uint8Array} body @param {import('./client/image.js').TlvField[]} tlvs */
export function textOf(body, tlvs) {
  const type = tlvText(tlvs, Tlv.CONTENT_TYPE);
  if (type !== '' && !type.startsWith('text/')) return null;
  try {
    return UTF8.decode(body);
  } catch {
    return null;
  }
}

/** @param {Uint8Array} body */
export function sizeOf(body) {
  return body.length === 1 ? '1 byte' : `${body.length} bytes`;
}

/** Whether the image says something that this page must know to show it, and does not. @param {Image} image */
export function isBeyondUs(image) {
  return image.tlvs.some(({ tag }) => tag >= 0x8000);
}

/** What a membership image says; null for other images. @param {Image} image @param {string} me */
export function eventText(image, me) {
  const author = nameFor(authorOf(image), me, true);
  const users = usersIn(image.body).map((user) => nameFor(user, me, false));
  const names = users.length > 1 ? `${users.slice(0, -1).join(', ')} and ${users.at(-1)}` : users.join('');
  switch (image.kind) {
    case ImageKind.GROUP_CREATED:
      return names === '' ? `${author} created the group` : `${author} created the group with ${names}`;
    case ImageKind.MEMBERS_JOINED:
      return `${author} added ${names}`;
    case ImageKind.MEMBERS_LEFT:
      return `${author} left`;
    case ImageKind.MEMBERS_REMOVED:
      return `${author} removed ${names}`;
    default:
      return null;
  }
}

/** @param {string} user @param {string} me @param {boolean} begins */
function nameFor(user, me, begins) {
  if (user !== me) return user;
  return begins ? 'You' : 'you';
}

/** @param {Uint8Array} body */
function usersIn(body) {
  try {
    return decodeUsers(body);
  } catch (error) {
    if (error instanceof CodecError) return [];
    throw error;
  }
}

/** One line for the list of conversations. @param {Image} image @param {string} me */
export function preview(image, me) {
  const event = eventText(image, me);
  if (event !== null) return event;
  if (image.kind !== ImageKind.MESSAGE || isBeyondUs(image)) return 'A message that this page cannot show';
  const author = authorOf(image);
  const who = author === me ? 'You: ' : image.channel.kind === 2 ? `${author}: ` : '';
  return who + (cutText(image) ?? sizeOf(image.body));
}

/** As `textOf`, of a body that may be cut inside a character. @param {Image} image */
function cutText({ body, tlvs }) {
  for (let end = body.length; end >= Math.max(0, body.length - 3); end -= 1) {
    const text = textOf(body.subarray(0, end), tlvs);
    if (text !== null) return text;
  }
  return null;
}

/** @type {Record<number, string>} */
const WHY = {
  [Reason.NO_CHANNEL]: 'there is no such group, or you are not in it',
  [Reason.NOT_ALLOWED]: 'you are not allowed to do this',
  [Reason.BODY_TOO_LARGE]: 'the message is too long',
  [Reason.ALREADY_EXISTS]: 'that is taken already',
  [Reason.TOO_MANY_MEMBERS]: 'the group would have too many members',
  [Reason.UNAUTHENTICATED]: 'the server does not accept the token',
  [Reason.TOKEN_EXPIRED]: 'the token has expired',
  [Reason.SHUTDOWN]: 'the server is restarting',
  [Reason.VERSION_UNSUPPORTED]: 'this page is too old or too new for the server',
};

/** Why, in words. @param {number} reason */
export function why(reason) {
  const info = /** @type {Record<number, { name: string, doc: string }>} */ (ReasonInfo)[reason];
  return WHY[reason] ?? info?.doc.replace(/\.$/, '').replace(/^./, (first) => first.toLowerCase()) ?? `reason ${reason}`;
}
