// @ts-check
// The fields of the methods by which a system user writes to everybody, or to who has a tag.

import { decode, encode, readBody, readBool, readCommandId, writeBool, writeCommandId } from './fields.js';
import { readId, writeId } from './image.js';
import { Limits } from './registry.js';
import { CodecError, Reader, Writer, readCounted, writeCounted } from './wire.js';

/**
 * @typedef {import('./fields.js').CommandId} CommandId
 * @typedef {{ id: CommandId, tag: string | null, madeMs: number, cancelled: boolean, endedMs: number, sent: number,
 *   refused: number }} Broadcast `tag`: null is everybody; `endedMs`: 0 while it is under way
 */

const EVERYBODY = 1;
const TAGGED = 2;

/** @param {Reader} r */
function readTag(r) {
  const at = r.position;
  const tag = readId(r, 'tag');
  if (tag.length > Limits.TAG_BYTES) throw new CodecError('tag over 32 bytes', at);
  return tag;
}

/** @param {Reader} r @returns {string | null} */
function readReach(r) {
  const at = r.position;
  const reach = r.u8('reach');
  if (reach === TAGGED) return readTag(r);
  if (reach !== EVERYBODY) throw new CodecError('reach', at);
  return null;
}

/** @param {Writer} w @param {string | null} tag */
function writeReach(w, tag) {
  w.u8(tag === null ? EVERYBODY : TAGGED);
  if (tag !== null) writeId(w, tag);
}

/** The fields of BROADCAST; the TLVs of the message are those of the CALL. @param {Uint8Array} fields */
export function decodeBroadcast(fields) {
  return decode(fields, (r) => ({ tag: readReach(r), flags: r.u16('flags'), body: readBody(r) }));
}

/** @param {string | null} tag @param {number} flags @param {Uint8Array} body */
export function encodeBroadcast(tag, flags, body) {
  return encode((w) => {
    writeReach(w, tag);
    w.u16(flags);
    w.bytes32(body);
  });
}

/** The fields of BROADCAST_CANCEL. @param {Uint8Array} fields */
export function decodeBroadcastCancel(fields) {
  return decode(fields, (r) => ({ id: readCommandId(r) }));
}

/** @param {CommandId} id */
export function encodeBroadcastCancel(id) {
  return encode((w) => writeCommandId(w, id));
}

/** The answer of BROADCASTS. @param {Uint8Array} fields @returns {{ broadcasts: Broadcast[] }} */
export function decodeBroadcasts(fields) {
  return decode(fields, (r) => ({
    broadcasts: readCounted(r, () => ({
      id: readCommandId(r),
      tag: readReach(r),
      madeMs: r.u64('made_ms'),
      cancelled: readBool(r, 'cancelled'),
      endedMs: r.u64('ended_ms'),
      sent: r.u64('sent'),
      refused: r.u64('refused'),
    })),
  }));
}

/** @param {Broadcast[]} broadcasts */
export function encodeBroadcasts(broadcasts) {
  return encode((w) => writeCounted(w, broadcasts, (out, it) => {
    writeCommandId(out, it.id);
    writeReach(out, it.tag);
    out.u64(it.madeMs);
    writeBool(out, it.cancelled);
    out.u64(it.endedMs);
    out.u64(it.sent);
    out.u64(it.refused);
  }));
}

/** The fields of TAGS_SET. @param {Uint8Array} fields */
export function decodeTagsSet(fields) {
  return decode(fields, (r) => ({ user: readId(r, 'user'), tags: readTags(r) }));
}

/** @param {string} user @param {string[]} tags ascending, each once */
export function encodeTagsSet(user, tags) {
  return encode((w) => {
    writeId(w, user);
    writeTags(w, tags);
  });
}

/** The answer of TAGS. @param {Uint8Array} fields */
export function decodeTags(fields) {
  return decode(fields, (r) => ({ tags: readTags(r) }));
}

/** @param {string[]} tags */
export function encodeTags(tags) {
  return encode((w) => writeTags(w, tags));
}

/** @param {Reader} r */
function readTags(r) {
  const at = r.position;
  const count = r.u8('count');
  if (count > Limits.TAGS) throw new CodecError('more than 32 tags', at);
  const tags = Array.from({ length: count }, () => readTag(r));
  if (tags.some((tag, place) => place > 0 && tag <= (tags[place - 1] ?? ''))) throw new CodecError('tags ascend', at);
  return tags;
}

/** @param {Writer} w @param {string[]} tags */
function writeTags(w, tags) {
  if (tags.length > Limits.TAGS) throw new RangeError('more than 32 tags');
  w.u8(tags.length);
  tags.forEach((tag) => writeId(w, tag));
}
