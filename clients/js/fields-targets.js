// @ts-check
// The fields of the methods about a message that is there already, and what they answer.

import { readInterval, readReaction, readSwitch, readSyncItem, writeSyncItem } from './elements.js';
import { decode } from './fields.js';
import { readSharedChannel, writeChannel } from './image.js';
import { Limits } from './registry.js';
import { CodecError, Reader, Writer, readCounted, writeCounted } from './wire.js';

/** @typedef {import('./image.js').Channel} Channel */

/** @param {Channel} channel @param {number} seq @param {(w: Writer) => void} [write] */
function encode(channel, seq, write) {
  const w = new Writer();
  writeChannel(w, channel);
  w.u64(seq);
  write?.(w);
  return w.finish();
}

/** @param {Reader} r */
function readTarget(r) {
  const channel = readSharedChannel(r);
  const at = r.position;
  const seq = r.u64('seq');
  if (seq === 0) throw new CodecError('seq', at);
  return { channel, seq };
}

/** The fields of REVOKE. @param {Uint8Array} fields */
export function decodeRevoke(fields) {
  return decode(fields, readTarget);
}

/** @param {Channel} channel @param {number} seq */
export function encodeRevoke(channel, seq) {
  return encode(channel, seq);
}

/** The fields of EDIT; its content type and mentions are TLVs of the CALL. @param {Uint8Array} fields */
export function decodeEdit(fields) {
  return decode(fields, (r) => {
    const { channel, seq } = readTarget(r);
    const version = r.u32('version');
    const at = r.position;
    const body = r.bytes32('body');
    if (body.length > Limits.BODY_BYTES || version === 0xffffffff) throw new CodecError('body length or version', at);
    return { channel, seq, version, body };
  });
}

/** @param {Channel} channel @param {number} seq @param {number} version the one that the user saw @param {Uint8Array} body */
export function encodeEdit(channel, seq, version, body) {
  return encode(channel, seq, (w) => {
    w.u32(version);
    w.bytes32(body);
  });
}

/** The fields of REACT. @param {Uint8Array} fields */
export function decodeReact(fields) {
  return decode(fields, (r) => ({ ...readTarget(r), on: readSwitch(r), reaction: readReaction(r) }));
}

/** @param {Channel} channel @param {number} seq @param {boolean} on @param {Uint8Array} reaction */
export function encodeReact(channel, seq, on, reaction) {
  return encode(channel, seq, (w) => {
    w.u8(on ? 1 : 0);
    w.bytes8(reaction);
  });
}

/** The fields of PIN. @param {Uint8Array} fields */
export function decodePin(fields) {
  return decode(fields, (r) => ({ ...readTarget(r), on: readSwitch(r) }));
}

/** @param {Channel} channel @param {number} seq @param {boolean} on */
export function encodePin(channel, seq, on) {
  return encode(channel, seq, (w) => w.u8(on ? 1 : 0));
}

/** The fields of HIDE. @param {Uint8Array} fields */
export function decodeHide(fields) {
  return decode(fields, (r) => ({ channel: readSharedChannel(r), ...readInterval(r) }));
}

/** @param {Channel} channel @param {number} from @param {number} to */
export function encodeHide(channel, from, to) {
  return encode(channel, from, (w) => w.u64(to));
}

/** The fields of PINS. @param {Uint8Array} fields */
export function decodePinsQuery(fields) {
  return decode(fields, (r) => ({ channel: readSharedChannel(r), afterSeq: r.u64('after') }));
}

/** @param {Channel} channel @param {number} afterSeq 0 for the first page */
export function encodePinsQuery(channel, afterSeq) {
  return encode(channel, afterSeq);
}

/** The fields of EDITS. @param {Uint8Array} fields */
export function decodeEditsQuery(fields) {
  return decode(fields, (r) => ({ ...readTarget(r), afterSeq: r.u64('after') }));
}

/** @param {Channel} channel @param {number} seq @param {number} afterSeq 0 for the first page */
export function encodeEditsQuery(channel, seq, afterSeq) {
  return encode(channel, seq, (w) => w.u64(afterSeq));
}

/** The fields of THREAD. @param {Uint8Array} fields */
export function decodeThreadQuery(fields) {
  return decode(fields, (r) => ({ ...readTarget(r), beforeSeq: r.u64('before') }));
}

/** @param {Channel} channel @param {number} root @param {number} beforeSeq 0 for the newest page */
export function encodeThreadQuery(channel, root, beforeSeq) {
  return encode(channel, root, (w) => w.u64(beforeSeq));
}

/** The answer of PINS, EDITS and THREAD. @param {Uint8Array} fields */
export function decodeElementsPage(fields) {
  return decode(fields, (r) => ({ items: readCounted(r, () => readSyncItem(r)), more: readSwitch(r) }));
}

/** @param {import('./elements.js').SyncItem[]} items @param {boolean} more */
export function encodeElementsPage(items, more) {
  const w = new Writer();
  writeCounted(w, items, writeSyncItem);
  w.u8(more ? 1 : 0);
  return w.finish();
}
