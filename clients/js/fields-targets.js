// @ts-check
// Fields of the methods about a message that is there already, and what later images made of it.

import { decode, encode, readBool, writeBool } from './fields.js';
import { readSharedChannel, writeChannel } from './image.js';
import { Limits } from './registry.js';
import { CodecError, Reader, Writer } from './wire.js';

/**
 * @typedef {import('./image.js').Channel} Channel
 * @typedef {{ reaction: Uint8Array, count: number, isOwn: boolean }} ReactionCount `reaction` is UTF-8
 * @typedef {{ seq: number, edit: number, version: number, isPinned: boolean, reactions: ReactionCount[] }} MadeOf
 *   `edit`: the seq of the newest edit, whose content the image of the message has; 0 when there is none
 */

const UTF8 = new TextDecoder('utf-8', { fatal: true });

/** A channel and the seq of a message of it. @param {Reader} r */
function readTarget(r) {
  const channel = readSharedChannel(r);
  const at = r.position;
  const seq = r.u64('seq');
  if (seq === 0) throw new CodecError('seq', at);
  return { channel, seq };
}

/** @param {Writer} w @param {Channel} channel @param {number} seq */
function writeTarget(w, channel, seq) {
  writeChannel(w, channel);
  w.u64(seq);
}

/** Text of 1 to 32 bytes. @param {Reader} r */
function readReaction(r) {
  const at = r.position;
  const reaction = r.bytes8('reaction');
  if (reaction.length === 0 || reaction.length > Limits.REACTION_BYTES) throw new CodecError('reaction', at);
  try {
    UTF8.decode(reaction);
  } catch {
    throw new CodecError('reaction', at);
  }
  return reaction;
}

/** An element of SYNCED, behind its form. @param {Reader} r @returns {MadeOf} */
export function readMade(r) {
  const at = r.position;
  const [seq, edit, version, isPinned] = [r.u64('seq'), r.u64('edit'), r.u32('version'), readBool(r, 'pinned')];
  const count = r.u8('reactions');
  if (seq === 0 || count > Limits.REACTIONS) throw new CodecError('what was made of a message', at);
  const reactions = Array.from({ length: count }, () => ({
    reaction: readReaction(r), count: r.u32('count'), isOwn: readBool(r, 'own'),
  }));
  return { seq, edit, version, isPinned, reactions };
}

/** @param {Writer} w @param {MadeOf} made */
export function writeMade(w, { seq, edit, version, isPinned, reactions }) {
  w.u64(seq);
  w.u64(edit);
  w.u32(version);
  writeBool(w, isPinned);
  w.u8(reactions.length);
  for (const { reaction, count, isOwn } of reactions) {
    w.bytes8(reaction);
    w.u32(count);
    writeBool(w, isOwn);
  }
}

/** The fields of REVOKE. @param {Uint8Array} fields */
export function decodeTarget(fields) {
  return decode(fields, readTarget);
}

/** @param {Channel} channel @param {number} seq */
export function encodeTarget(channel, seq) {
  return encode((w) => writeTarget(w, channel, seq));
}

/** The fields of EDIT. @param {Uint8Array} fields */
export function decodeEdit(fields) {
  return decode(fields, (r) => {
    const target = readTarget(r);
    const version = r.u32('version');
    const at = r.position;
    const body = r.bytes32('body');
    if (body.length > Limits.BODY_BYTES || version === 0xffffffff) throw new CodecError('body length or version', at);
    return { ...target, version, body };
  });
}

/** @param {Channel} channel @param {number} seq @param {number} version the one that was seen @param {Uint8Array} body */
export function encodeEdit(channel, seq, version, body) {
  return encode((w) => {
    writeTarget(w, channel, seq);
    w.u32(version);
    w.bytes32(body);
  });
}

/** The fields of REACT. @param {Uint8Array} fields */
export function decodeReact(fields) {
  return decode(fields, (r) => ({ ...readTarget(r), isOn: readBool(r, 'on'), reaction: readReaction(r) }));
}

/** @param {Channel} channel @param {number} seq @param {boolean} isOn @param {Uint8Array} reaction */
export function encodeReact(channel, seq, isOn, reaction) {
  return encode((w) => {
    writeTarget(w, channel, seq);
    writeBool(w, isOn);
    w.bytes8(reaction);
  });
}

/** The fields of PIN. @param {Uint8Array} fields */
export function decodePin(fields) {
  return decode(fields, (r) => ({ ...readTarget(r), isOn: readBool(r, 'on') }));
}

/** @param {Channel} channel @param {number} seq @param {boolean} isOn */
export function encodePin(channel, seq, isOn) {
  return encode((w) => {
    writeTarget(w, channel, seq);
    writeBool(w, isOn);
  });
}

/** The fields of HIDE. @param {Uint8Array} fields */
export function decodeHide(fields) {
  return decode(fields, (r) => {
    const channel = readSharedChannel(r);
    const at = r.position;
    const [from, to] = [r.u64('from'), r.u64('to')];
    if (from === 0 || to < from) throw new CodecError('an interval has 1 ≤ from ≤ to', at);
    return { channel, from, to };
  });
}

/** @param {Channel} channel @param {number} from @param {number} to */
export function encodeHide(channel, from, to) {
  return encode((w) => {
    writeTarget(w, channel, from);
    w.u64(to);
  });
}

/** The fields of PINS; `after` 0 asks for the first page. @param {Uint8Array} fields */
export function decodePinsQuery(fields) {
  return decode(fields, (r) => ({ channel: readSharedChannel(r), after: r.u64('after') }));
}

/** @param {Channel} channel @param {number} after */
export function encodePinsQuery(channel, after) {
  return encodeTarget(channel, after);
}

/** The fields of EDITS; `after` 0 asks for the first page, which begins with the message as it was sent. @param {Uint8Array} fields */
export function decodeEditsQuery(fields) {
  return decode(fields, (r) => ({ ...readTarget(r), after: r.u64('after') }));
}

/** @param {Channel} channel @param {number} seq @param {number} after */
export function encodeEditsQuery(channel, seq, after) {
  return encode((w) => {
    writeTarget(w, channel, seq);
    w.u64(after);
  });
}
