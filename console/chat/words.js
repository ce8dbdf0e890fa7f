// @ts-check
// What the page says: times, bodies and reasons in words.

import { thingOf } from './contents.js';
import { authorOf, tlvText } from './client/codec.js';
import { decodeSwitch } from './client/made.js';
import { ImageFlag, ImageKind, Reason, ReasonInfo, Tlv } from './client/registry.js';
import { eventText } from './events.js';

/** @typedef {import('./client/image.js').Image} Image */

const TIME = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const WEEKDAY = new Intl.DateTimeFormat(undefined, { weekday: 'long' });
const DATE = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long', year: 'numeric' });
const SHORT_DATE = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const DAY_MS = 86_400_000;

/** What stands where a message was that was taken back. */
export const ERASED = 'Message deleted';

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

/** When somebody was seen last, in words. @param {number} ms */
export function lastSeen(ms) {
  const minutes = Math.floor((Date.now() - ms) / 60_000);
  if (minutes < 1) return 'last seen just now';
  if (minutes < 60) return `last seen ${minutes} min ago`;
  const days = daysAgo(ms);
  if (days <= 0) return `last seen at ${TIME.format(ms)}`;
  return days === 1 ? `last seen yesterday at ${TIME.format(ms)}` : `last seen on ${SHORT_DATE.format(ms)}`;
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

/**
 * One line for the list of conversations.
 * @param {Image} image @param {string} me @param {(user: string) => string} nameOf
 * @returns {{ line: string, isErased: boolean }}
 */
export function preview(image, me, nameOf) {
  const author = authorOf(image);
  const who = author === me ? 'You' : nameOf(author);
  if (image.kind === ImageKind.REVOKED || (image.flags & ImageFlag.ERASED) !== 0) return { line: ERASED, isErased: true };
  if (image.kind === ImageKind.REACTED) {
    const { isOn, what } = decodeSwitch(image.body);
    return { line: isOn ? `${who} reacted ${what}` : `${who} took back ${what}`, isErased: false };
  }
  const event = eventText(image, me, nameOf);
  if (event !== null) return { line: event, isErased: false };
  const isMessage = image.kind === ImageKind.MESSAGE || image.kind === ImageKind.EDITED;
  if (!isMessage || isBeyondUs(image)) return { line: 'A message that this page cannot show', isErased: false };
  const begin = author === me ? 'You: ' : image.channel.kind === 2 ? `${who}: ` : '';
  return { line: begin + snippet(image), isErased: false };
}

/** The content in one line. @param {{ body: Uint8Array, tlvs: import('./client/image.js').TlvField[] }} content */
export function snippet(content) {
  return thingOf(content.body, content.tlvs)?.line ?? cutText(content)?.replace(/\s+/g, ' ').trim() ?? sizeOf(content.body);
}

/** As `textOf`, of a body that may be cut inside a character. @param {{ body: Uint8Array, tlvs: import('./client/image.js').TlvField[] }} content */
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
  [Reason.TOO_LATE]: 'it is too late for that',
  [Reason.VERSION_CONFLICT]: 'it was changed meanwhile; look at it again',
  [Reason.NO_TARGET]: 'that message is not there any more',
  [Reason.MUTED]: 'you may not write here now',
  [Reason.BLOCKED]: 'one of you has blocked the other',
  [Reason.NOT_CONTACTS]: 'this user takes messages of contacts only',
  [Reason.QUOTA_EXCEEDED]: 'your quota is used up',
  [Reason.DISMISSED]: 'the group was ended',
  [Reason.TOO_MANY]: 'there are as many as there may be',
  [Reason.UNKNOWN_METHOD]: 'this server cannot do that',
  [Reason.DEVICE_REMOVED]: 'this device was removed',
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
