// @ts-check
// Ids, channels, senders, TLVs and images: what packets are made of. An image is one byte string: the payload of RECV,
// an element of SYNCED, and what the log holds.

import { ImageFlag, Limits, Tlv, TlvForm } from './registry.js';
import { CodecError, Reader, Writer, crc32 } from './wire.js';

/**
 * @typedef {{ tag: number, value: Uint8Array }} TlvField
 * @typedef {{ kind: number, ids: string[] }} Channel kind 1 person (two ids in order), 2 group, 3 user (never on the wire)
 * @typedef {{ side: 0 | 1 } | { user: string }} From a side of a person channel, or a user that is no side
 * @typedef {{ kind: number, flags: number, seq: number, timeMs: number, channel: Channel, from: From,
 *   sender: Uint8Array, number: number, tlvs: TlvField[], body: Uint8Array }} Image
 */

const FROM_UTF8 = new TextDecoder('utf-8', { ignoreBOM: true });
const FROM_UTF8_STRICTLY = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true });
const TO_UTF8 = new TextEncoder();
const SENDER_BYTES = 8;
const IMAGE_FORMAT = 0;
const FROM_USER = 255;
const SERVER_ONLY_IMAGE = 128;

/** What a channel is. */
export const ChannelKind = Object.freeze({ PERSON: 1, GROUP: 2, USER: 3 });

/** The first byte of a sender. */
export const SenderKind = Object.freeze({
  /** An app that stores sender, counter and unsent messages. */
  KEPT: 1,
  /** One process that forgets it at its end. */
  ONE_SHOT: 2,
});

// --- ids, channels, senders ----------------------------------------------------------------------------------------

/** Whether `text` is an id: 1 to 128 characters of `A-Z a-z 0-9 . _ ~ : @ + = -`. @param {string} text */
export function isId(text) {
  return /^[A-Za-z0-9._~:@+=-]{1,128}$/.test(text);
}

/** @param {Uint8Array} bytes @param {string} what @param {number} at @returns {string} */
function idOf(bytes, what, at) {
  const text = FROM_UTF8.decode(bytes);
  if (!isId(text)) throw new CodecError(what, at);
  return text;
}

/** @param {Reader} r @param {string} what */
export function readId(r, what) {
  const at = r.position;
  return idOf(r.bytes8(what), what, at);
}

/** An id, or '' where the length is 0. @param {Reader} r @param {string} what */
export function readOptionalId(r, what) {
  const at = r.position;
  const bytes = r.bytes8(what);
  return bytes.length === 0 ? '' : idOf(bytes, what, at);
}

/** An id, or a length of 0 for ''. @param {Writer} w @param {string} id */
export function writeOptionalId(w, id) {
  if (id === '') w.u8(0);
  else writeId(w, id);
}

/** @param {Writer} w @param {string} id */
export function writeId(w, id) {
  if (!isId(id)) throw new RangeError('an id is 1 to 128 characters of A-Z a-z 0-9 . _ ~ : @ + = -');
  w.bytes8(TO_UTF8.encode(id));
}

/** The channel of two users, in either order; equal ids are notes to self. @param {string} one @param {string} other @returns {Channel} */
export function personChannel(one, other) {
  return { kind: ChannelKind.PERSON, ids: one <= other ? [one, other] : [other, one] };
}

/** The channel of a group. @param {string} id @returns {Channel} */
export function groupChannel(id) {
  return { kind: ChannelKind.GROUP, ids: [id] };
}

/** A string that is equal for equal channels. @param {Channel} channel */
export function channelKey(channel) {
  return `${channel.kind} ${channel.ids.join(' ')}`;
}

/**
 * The address as `user` writes it: `user:ID` for the person channel with ID, `group:ID`.
 * @param {Channel} channel @param {string} user
 */
export function addressOf(channel, user) {
  const [low, high] = channel.ids;
  if (channel.kind === ChannelKind.PERSON) return `user:${low === user ? high : low}`;
  return channel.kind === ChannelKind.GROUP ? `group:${low}` : `self:${low}`;
}

/**
 * The channel that `user` means by `user:ID` or `group:ID`, split at the first colon; null when it is neither.
 * @param {string} text @param {string} user @returns {Channel | null}
 */
export function channelOf(text, user) {
  const colon = text.indexOf(':');
  const id = text.slice(colon + 1);
  if (!isId(id)) return null;
  if (text.slice(0, colon) === 'user') return personChannel(user, id);
  return text.slice(0, colon) === 'group' ? groupChannel(id) : null;
}

/** @param {Reader} r @returns {Channel} */
export function readChannel(r) {
  const at = r.position;
  try {
    const kind = r.u8('channel');
    if (kind === ChannelKind.PERSON) {
      const ids = [readId(r, 'channel'), readId(r, 'channel')];
      if (ids[0] <= ids[1]) return { kind, ids };
    } else if (kind === ChannelKind.GROUP || kind === ChannelKind.USER) {
      return { kind, ids: [readId(r, 'channel')] };
    }
  } catch (error) {
    if (!(error instanceof CodecError)) throw error;
  }
  throw new CodecError('channel', at);
}

/** A channel with conversations, the only ones on the wire. @param {Reader} r @returns {Channel} */
export function readSharedChannel(r) {
  const at = r.position;
  const channel = readChannel(r);
  if (channel.kind === ChannelKind.USER) throw new CodecError('channel kind', at);
  return channel;
}

/** @param {Writer} w @param {Channel} channel */
export function writeChannel(w, channel) {
  const [low, high] = channel.ids;
  const two = channel.kind === ChannelKind.PERSON;
  if (channel.ids.length !== (two ? 2 : 1) || (two && low > high)) throw new RangeError('the ids of a channel');
  w.u8(channel.kind);
  for (const id of channel.ids) writeId(w, id);
}

/** One channel and nothing else. @param {Uint8Array} bytes @returns {Channel} */
export function decodeChannel(bytes) {
  const r = new Reader(bytes);
  const channel = readChannel(r);
  r.end();
  return channel;
}

/** @param {Channel} channel @returns {Uint8Array} */
export function encodeChannel(channel) {
  const w = new Writer();
  writeChannel(w, channel);
  return w.finish();
}

/** The slot of `channel` in `tenant`, from 0 to 255. @param {Channel} channel @param {number} [tenant] */
export function slotOf(channel, tenant = 0) {
  const w = new Writer();
  w.u32(tenant);
  writeChannel(w, channel);
  return crc32(w.finish()) & 0xff;
}

/** A sender that asks the server for a new one of `kind`. @param {number} kind */
export function requestSender(kind) {
  return Uint8Array.of(kind, 0, 0, 0, 0, 0, 0, 0);
}

/** @param {Reader} r */
export function readSender(r) {
  const at = r.position;
  const sender = readOpaqueSender(r);
  if (sender[0] !== SenderKind.KEPT && sender[0] !== SenderKind.ONE_SHOT) throw new CodecError('sender kind', at);
  return sender;
}

/** Any 8 bytes: what servers say is not checked. @param {Reader} r */
export function readOpaqueSender(r) {
  return r.bytes(SENDER_BYTES, 'sender');
}

/** @param {Writer} w @param {Uint8Array} sender */
export function writeSender(w, sender) {
  if (sender.length !== SENDER_BYTES) throw new RangeError('a sender has 8 bytes');
  w.raw(sender);
}

// --- TLVs ----------------------------------------------------------------------------------------------------------

/** Whether `value` is ids, each with its length, ascending. @param {Uint8Array} value */
function areIds(value) {
  let last = '';
  for (let at = 0; at < value.length; ) {
    const end = at + 1 + value[at];
    const id = String.fromCharCode(...value.subarray(at + 1, end));
    if (end > value.length || !isId(id) || id <= last) return false;
    [last, at] = [id, end];
  }
  return true;
}

/** Whether `value` is what the bytes of `tag` must be; those of an unknown tag may be anything. @param {TlvField} tlv */
function hasForm({ tag, value }) {
  switch (/** @type {Record<number, string | undefined>} */ (TlvForm)[tag]) {
    case 'text':
      try {
        FROM_UTF8_STRICTLY.decode(value);
        return true;
      } catch {
        return false;
      }
    case 'ids':
      return areIds(value);
    case 'u32':
      return value.length === 4;
    case 'u64':
      return value.length === 8 && value[0] === 0 && value[1] < 0x20;
    default:
      return true;
  }
}

/** @param {Uint8Array} bytes @param {number} at their offset @returns {TlvField[]} */
function parseTlvs(bytes, at) {
  if (bytes.length > Limits.TLV_BYTES) throw new CodecError('TLVs over 8 KiB', at);
  const r = new Reader(bytes);
  /** @type {TlvField[]} */
  const tlvs = [];
  while (r.remaining > 0) {
    const here = at + r.position;
    let tag, value;
    try {
      tag = r.u16('TLV');
      value = r.bytes(r.u16('TLV'), 'TLV');
    } catch {
      throw new CodecError('TLV', here);
    }
    if (tlvs.length > 0 && tlvs[tlvs.length - 1].tag >= tag) throw new CodecError('TLV tags not ascending', here);
    if (tlvs.length === Limits.TLV_COUNT) throw new CodecError('more than 32 TLVs', here);
    if (!hasForm({ tag, value })) throw new CodecError('TLV value', here + 4);
    tlvs.push({ tag, value });
  }
  return tlvs;
}

/** @param {Reader} r */
export function readTlvs(r) {
  const at = r.position;
  return parseTlvs(r.bytes(r.remaining, 'TLVs'), at);
}

/** @param {Writer} w @param {TlvField[]} tlvs */
export function writeTlvs(w, tlvs) {
  const size = tlvs.reduce((sum, { value }) => sum + 4 + value.length, 0);
  const ascending = tlvs.every(({ tag }, at) => at === 0 || tlvs[at - 1].tag < tag);
  if (size > Limits.TLV_BYTES || tlvs.length > Limits.TLV_COUNT || !ascending || !tlvs.every(hasForm)) {
    throw new RangeError('TLVs: at most 32, at most 8 KiB, tags ascending, known ones in their form');
  }
  for (const { tag, value } of tlvs) {
    w.u16(tag);
    w.bytes16(value);
  }
}

/** The bytes of `tag`, or null. @param {TlvField[]} tlvs @param {number} tag */
export function tlvBytes(tlvs, tag) {
  return tlvs.find((tlv) => tlv.tag === tag)?.value ?? null;
}

/** The bytes of `tag` as UTF-8, or ''. @param {TlvField[]} tlvs @param {number} tag */
export function tlvText(tlvs, tag) {
  const value = tlvBytes(tlvs, tag);
  return value === null ? '' : FROM_UTF8.decode(value);
}

/** The bytes of `tag` as a u32, or null. @param {TlvField[]} tlvs @param {number} tag */
export function tlvU32(tlvs, tag) {
  const value = tlvBytes(tlvs, tag);
  return value?.length === 4 ? new Reader(value).u32('TLV') : null;
}

/** The bytes of `tag` as a u64, or null. @param {TlvField[]} tlvs @param {number} tag */
export function tlvU64(tlvs, tag) {
  const value = tlvBytes(tlvs, tag);
  return value?.length === 8 ? new Reader(value).u64('TLV') : null;
}

/** A TLV of text. @param {number} tag @param {string} text @returns {TlvField} */
export function textTlv(tag, text) {
  return { tag, value: TO_UTF8.encode(text) };
}

/** A TLV of a u64. @param {number} tag @param {number} number @returns {TlvField} */
export function u64Tlv(tag, number) {
  const w = new Writer();
  w.u64(number);
  return { tag, value: w.finish() };
}

/** A TLV of a u32. @param {number} tag @param {number} number @returns {TlvField} */
export function u32Tlv(tag, number) {
  const w = new Writer();
  w.u32(number);
  return { tag, value: w.finish() };
}

/** A TLV of ids, in any order. @param {number} tag @param {string[]} ids @returns {TlvField} */
export function idsTlv(tag, ids) {
  const w = new Writer();
  for (const id of [...new Set(ids)].sort()) writeId(w, id);
  return { tag, value: w.finish() };
}

// --- images --------------------------------------------------------------------------------------------------------

/** How `user` is written in `channel`. @param {string} user @param {Channel} channel @returns {From} */
export function fromOf(user, channel) {
  if (channel.kind !== ChannelKind.PERSON) return { user };
  if (channel.ids[0] === user) return { side: 0 };
  return channel.ids[1] === user ? { side: 1 } : { user };
}

/** The author's id. @param {Image} image */
export function authorOf(image) {
  const { from, channel } = image;
  if ('user' in from) return from.user;
  return channel.ids[from.side] ?? channel.ids[0];
}

/** The one way in which a user is written in `channel`. @param {Reader} r @param {Channel} channel @returns {From} */
function readFrom(r, channel) {
  const at = r.position;
  const form = r.u8('from');
  if (form === FROM_USER) {
    const user = readId(r, 'from');
    if ('side' in fromOf(user, channel)) throw new CodecError('a side of the channel spelled out', at);
    return { user };
  }
  const [low, high] = channel.ids;
  if (channel.kind === ChannelKind.PERSON && (form === 0 || (form === 1 && low !== high))) return { side: form };
  throw new CodecError('from', at);
}

/** @param {Reader} r @returns {Image} */
export function readImage(r) {
  const start = r.position;
  if (r.u8('image format') !== IMAGE_FORMAT) throw new CodecError('image format', start);
  const kind = r.u8('image kind');
  const flags = r.u16('image flags');
  const seq = r.u64('seq');
  const timeMs = r.u64('time');
  const channel = readChannel(r);
  const from = readFrom(r, channel);
  const sender = readOpaqueSender(r);
  const number = r.u64('number');
  const tlvsAt = r.position + 2;
  const tlvs = parseTlvs(r.bytes16(Limits.TLV_BYTES, 'TLV length'), tlvsAt);
  const bodyAt = r.position;
  const body = r.bytes32('body');
  if (body.length > Limits.BODY_BYTES) throw new CodecError('body length', bodyAt);
  return { kind, flags, seq, timeMs, channel, from, sender, number, tlvs, body };
}

/** @param {Writer} w @param {Image} image */
export function writeImage(w, image) {
  w.u8(IMAGE_FORMAT);
  w.u8(image.kind);
  w.u16(image.flags);
  w.u64(image.seq);
  w.u64(image.timeMs);
  writeChannel(w, image.channel);
  if ('user' in image.from) {
    w.u8(FROM_USER);
    writeId(w, image.from.user);
  } else {
    w.u8(image.from.side);
  }
  writeSender(w, image.sender);
  w.u64(image.number);
  const tlvs = new Writer();
  writeTlvs(tlvs, image.tlvs);
  w.bytes16(tlvs.finish());
  w.bytes32(image.body);
}

/** One image and nothing else. @param {Uint8Array} bytes @returns {Image} */
export function decodeImage(bytes) {
  const r = new Reader(bytes);
  const image = readImage(r);
  r.end();
  return image;
}

/** @param {Image} image @returns {Uint8Array} */
export function encodeImage(image) {
  const w = new Writer();
  writeImage(w, image);
  return w.finish();
}

/** Whether `image` may leave a server: sequenced, of a kind below 128, in a channel with conversations. @param {Image} image */
export function isPublic(image) {
  return image.seq > 0 && image.kind < SERVER_ONLY_IMAGE && image.channel.kind !== ChannelKind.USER;
}

/** The flags that the server sets on a message for what its TLVs say. @param {TlvField[]} tlvs */
export function flagsByServer(tlvs) {
  const has = (/** @type {number} */ tag) => tlvs.some((tlv) => tlv.tag === tag);
  return (has(Tlv.LIFETIME_MS) ? ImageFlag.EXPIRING : 0) | (has(Tlv.THREAD) ? ImageFlag.THREADED : 0);
}
