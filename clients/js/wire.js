// @ts-check
// The primitive fields: big-endian integers and length-prefixed bytes, and the CRC-32 of frames.
// `Reader` never reads past the end of its payload and copies nothing; `Writer` is its mirror.

import { Reason } from './registry.js';

/** Integers on the wire are at most this, so that every language reads them exactly. */
export const MAX_INTEGER = Number.MAX_SAFE_INTEGER;

/** What is wrong with bytes from a peer. */
export class CodecError extends Error {
  /**
   * @param {string} what the field, and what is wrong with it
   * @param {number} at offset of the field in the payload; for a header, in the frame
   * @param {number} reason what the peer is told: a number of `Reason`
   */
  constructor(what, at, reason = Reason.MALFORMED) {
    super(`${what} at byte ${at}`);
    this.name = 'CodecError';
    this.what = what;
    this.at = at;
    this.reason = reason;
  }
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

/**
 * CRC-32 (IEEE) of `parts`, one after the other.
 * @param {...Uint8Array} parts
 * @returns {number} unsigned
 */
export function crc32(...parts) {
  let crc = ~0;
  for (const part of parts) {
    for (let at = 0; at < part.length; at += 1) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ part[at]) & 0xff];
  }
  return ~crc >>> 0;
}

/** Takes fields off a payload, or throws a `CodecError` that says which and where. */
export class Reader {
  #bytes;
  #view;
  #at = 0;

  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Offset of the next field. */
  get position() {
    return this.#at;
  }

  /** How many bytes are left. */
  get remaining() {
    return this.#bytes.length - this.#at;
  }

  /**
   * @param {number} length
   * @param {string} what
   * @returns {number} where those bytes begin
   */
  #take(length, what) {
    if (length > this.remaining) throw new CodecError(what, this.#at);
    const at = this.#at;
    this.#at += length;
    return at;
  }

  /** @param {number} length @param {string} what */
  bytes(length, what) {
    const at = this.#take(length, what);
    return this.#bytes.subarray(at, at + length);
  }

  /** @param {string} what */
  u8(what) {
    return this.#view.getUint8(this.#take(1, what));
  }

  /** @param {string} what */
  u16(what) {
    return this.#view.getUint16(this.#take(2, what));
  }

  /** @param {string} what */
  u32(what) {
    return this.#view.getUint32(this.#take(4, what));
  }

  /** A number of eight bytes, at most `MAX_INTEGER`. @param {string} what */
  u64(what) {
    const at = this.#take(8, what);
    const high = this.#view.getUint32(at);
    if (high > 0x1fffff) throw new CodecError(what, at);
    return high * 0x100000000 + this.#view.getUint32(at + 4);
  }

  /** A length of one byte, then so many bytes. @param {string} what */
  bytes8(what) {
    return this.bytes(this.u8(what), what);
  }

  /** A length of two bytes, at most `max`, then so many bytes. @param {number} max @param {string} what */
  bytes16(max, what) {
    const at = this.#at;
    const length = this.u16(what);
    if (length > max) throw new CodecError(what, at);
    return this.bytes(length, what);
  }

  /** A length of four bytes, then so many bytes. @param {string} what */
  bytes32(what) {
    return this.bytes(this.u32(what), what);
  }

  /** Nothing may be left. */
  end() {
    if (this.remaining > 0) throw new CodecError('bytes after the last field', this.#at);
  }
}

/** Puts fields behind each other; throws a `RangeError` for what does not fit its field. */
export class Writer {
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  /** @param {number} length @returns {number} where that much room begins */
  #room(length) {
    const at = this.#length;
    if (at + length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(2 * this.#bytes.length, at + length));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    this.#length += length;
    return at;
  }

  /** What was written so far. */
  finish() {
    return this.#bytes.subarray(0, this.#length);
  }

  /** @param {Uint8Array} bytes */
  raw(bytes) {
    const at = this.#room(bytes.length);
    this.#bytes.set(bytes, at);
  }

  /** @param {number} number */
  u8(number) {
    const at = this.#room(1);
    this.#view.setUint8(at, within(number, 0xff));
  }

  /** @param {number} number */
  u16(number) {
    const at = this.#room(2);
    this.#view.setUint16(at, within(number, 0xffff));
  }

  /** @param {number} number */
  u32(number) {
    const at = this.#room(4);
    this.#view.setUint32(at, within(number, 0xffffffff));
  }

  /** @param {number} number */
  u64(number) {
    const at = this.#room(8);
    this.#view.setUint32(at, Math.floor(within(number, MAX_INTEGER) / 0x100000000));
    this.#view.setUint32(at + 4, number % 0x100000000);
  }

  /** @param {Uint8Array} bytes */
  bytes8(bytes) {
    this.u8(bytes.length);
    this.raw(bytes);
  }

  /** @param {Uint8Array} bytes */
  bytes16(bytes) {
    this.u16(bytes.length);
    this.raw(bytes);
  }

  /** @param {Uint8Array} bytes */
  bytes32(bytes) {
    this.u32(bytes.length);
    this.raw(bytes);
  }
}

/** @param {number} number @param {number} max */
function within(number, max) {
  if (!Number.isInteger(number) || number < 0 || number > max) {
    throw new RangeError(`${number} is not an integer from 0 to ${max}`);
  }
  return number;
}

/** A count of two bytes, then so many of `one`. @template T @param {Reader} r @param {(r: Reader) => T} one @returns {T[]} */
export function readCounted(r, one) {
  const items = [];
  for (let left = r.u16('count'); left > 0; left -= 1) items.push(one(r));
  return items;
}

/** The mirror of `readCounted`. @template T @param {Writer} w @param {T[]} items @param {(w: Writer, item: T) => void} one */
export function writeCounted(w, items, one) {
  w.u16(items.length);
  for (const item of items) one(w, item);
}
