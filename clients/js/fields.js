// @ts-check
// What the fields of CALLs, REPLYs and NOTICEs are made of; each area has a file of its own, as in protocol/src/packet.

import { readId, readOpaqueSender, writeId, writeSender } from './image.js';
import { Limits } from './registry.js';
import { CodecError, Reader, Writer, readCounted, writeCounted } from './wire.js';

/** @typedef {{ sender: Uint8Array, number: number }} CommandId sender and number of the command that made it */

/** Before all others. @type {CommandId} */
export const FIRST_COMMAND = Object.freeze({ sender: new Uint8Array(8), number: 0 });

const FROM_UTF8 = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true });
const TO_UTF8 = new TextEncoder();

/** All of `bytes` is what `read` takes. @template T @param {Uint8Array} bytes @param {(r: Reader) => T} read @returns {T} */
export function decode(bytes, read) {
  const r = new Reader(bytes);
  const value = read(r);
  r.end();
  return value;
}

/** @param {(w: Writer) => void} write */
export function encode(write) {
  const w = new Writer();
  write(w);
  return w.finish();
}

/** @param {Reader} r @returns {CommandId} */
export function readCommandId(r) {
  return { sender: readOpaqueSender(r), number: r.u64('number') };
}

/** @param {Writer} w @param {CommandId} id */
export function writeCommandId(w, { sender, number }) {
  writeSender(w, sender);
  w.u64(number);
}

/** The body of a message. @param {Reader} r */
export function readBody(r) {
  const at = r.position;
  const body = r.bytes32('body');
  if (body.length > Limits.BODY_BYTES) throw new CodecError('body over 65,536 bytes', at);
  return body;
}

/** @param {Reader} r */
export function readUsers(r) {
  const at = r.position;
  const count = r.u16('count');
  if (count > Limits.CALL_IDS) throw new CodecError('more than 100 ids', at);
  return Array.from({ length: count }, () => readId(r, 'user'));
}

/** @param {Writer} w @param {string[]} users */
export function writeUsers(w, users) {
  if (users.length > Limits.CALL_IDS) throw new RangeError('more than 100 ids');
  writeCounted(w, users, writeId);
}

/** The users that the body of a membership image lists. @param {Uint8Array} body */
export function decodeUsers(body) {
  return decode(body, readUsers);
}

/** @param {string[]} users */
export function encodeUsers(users) {
  return encode((w) => writeUsers(w, users));
}

/** One byte, 0 or 1. @param {Reader} r @param {string} what */
export function readBool(r, what) {
  const at = r.position;
  const value = r.u8(what);
  if (value > 1) throw new CodecError(what, at);
  return value === 1;
}

/** @param {Writer} w @param {boolean} value */
export function writeBool(w, value) {
  w.u8(value ? 1 : 0);
}

/** A length of one byte, then UTF-8 of at most `max` bytes. @param {Reader} r @param {number} max @param {string} what */
export function readText8(r, max, what) {
  const at = r.position;
  return textOf(r.bytes8(what), max, what, at);
}

/** A length of two bytes, then UTF-8 of at most `max` bytes. @param {Reader} r @param {number} max @param {string} what */
export function readText16(r, max, what) {
  const at = r.position;
  return textOf(r.bytes16(max, what), max, what, at);
}

/** @param {Uint8Array} bytes @param {number} max @param {string} what @param {number} at */
function textOf(bytes, max, what, at) {
  if (bytes.length > max) throw new CodecError(what, at);
  try {
    return FROM_UTF8.decode(bytes);
  } catch {
    throw new CodecError(what, at);
  }
}

/** @param {Writer} w @param {string} text @param {number} max @param {string} what */
export function writeText8(w, text, max, what) {
  w.bytes8(checked(text, max, what));
}

/** @param {Writer} w @param {string} text @param {number} max @param {string} what */
export function writeText16(w, text, max, what) {
  w.bytes16(checked(text, max, what));
}

/** @param {string} text @param {number} max @param {string} what */
function checked(text, max, what) {
  const bytes = TO_UTF8.encode(text);
  if (bytes.length > max) throw new RangeError(`${what} has at most ${max} bytes`);
  return bytes;
}

/** A page: a count, so many of `one`, and whether more follow. @template T @param {Reader} r @param {(r: Reader) => T} one @returns {{ items: T[], more: boolean }} */
export function readPage(r, one) {
  return { items: readCounted(r, one), more: readBool(r, 'more') };
}

/** @template T @param {Writer} w @param {T[]} items @param {boolean} more @param {(w: Writer, item: T) => void} one */
export function writePage(w, items, more, one) {
  writeCounted(w, items, one);
  writeBool(w, more);
}
