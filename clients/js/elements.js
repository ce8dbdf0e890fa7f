// @ts-check
// The elements of SYNCED, which some answers to CALL have too.

import { GapReason, Limits } from './registry.js';
import { CodecError, Reader, Writer } from './wire.js';

/**
 * @typedef {{ reaction: Uint8Array, count: number, own: boolean }} Reaction
 * @typedef {{ seq: number, edit: number, version: number, pinned: boolean, answers: number, answered: number,
 *   reactions: Reaction[] }} Made what later images made of the message `seq`; `edit` is the seq of its newest edit, 0 when it
 *   was not edited, `answered` that of the newest of the `answers` in its thread
 * @typedef {{ image: Uint8Array } | { gap: { from: number, to: number, why: number } } | { made: Made }} SyncItem
 */

/** A closed interval of seqs. @param {Reader} r */
export function readInterval(r) {
  const at = r.position;
  const from = r.u64('from');
  const to = r.u64('to');
  if (from === 0 || to < from) throw new CodecError('an interval has 1 ≤ from ≤ to', at);
  return { from, to };
}

/** 0 or 1. @param {Reader} r */
export function readSwitch(r) {
  const at = r.position;
  const value = r.u8('switch');
  if (value > 1) throw new CodecError('a switch is 0 or 1', at);
  return value === 1;
}

/** @param {Reader} r */
export function readReaction(r) {
  const at = r.position;
  const reaction = r.bytes8('reaction');
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(reaction);
  } catch {
    throw new CodecError('a reaction is text', at);
  }
  if (reaction.length === 0 || reaction.length > Limits.REACTION_BYTES) throw new CodecError('a reaction has 1 to 32 bytes', at);
  return reaction;
}

/** @param {Reader} r @returns {Made} */
function readMade(r) {
  const at = r.position;
  const seq = r.u64('seq');
  const edit = r.u64('edit');
  const version = r.u32('version');
  const pinned = readSwitch(r);
  const answers = r.u32('answers');
  const answered = r.u64('answered');
  const count = r.u8('reactions');
  if (seq === 0 || count > Limits.REACTIONS) throw new CodecError('what was made of a message', at);
  const reactions = Array.from({ length: count }, () => ({ reaction: readReaction(r), count: r.u32('count'), own: readSwitch(r) }));
  return { seq, edit, version, pinned, answers, answered, reactions };
}

/** @param {Reader} r @returns {SyncItem} */
export function readSyncItem(r) {
  const at = r.position;
  const form = r.u8('element');
  if (form === 1) return { image: r.bytes32('image') };
  if (form === 3) return { made: readMade(r) };
  if (form !== 2) throw new CodecError('element', at);
  const { from, to } = readInterval(r);
  const whyAt = r.position;
  const why = r.u8('gap reason');
  if (!Object.values(GapReason).includes(/** @type {never} */ (why))) throw new CodecError('gap reason', whyAt);
  return { gap: { from, to, why } };
}

/** @param {Writer} w @param {SyncItem} item */
export function writeSyncItem(w, item) {
  if ('image' in item) {
    w.u8(1);
    w.bytes32(item.image);
  } else if ('gap' in item) {
    w.u8(2);
    w.u64(item.gap.from);
    w.u64(item.gap.to);
    w.u8(item.gap.why);
  } else {
    const { seq, edit, version, pinned, answers, answered, reactions } = item.made;
    w.u8(3);
    w.u64(seq);
    w.u64(edit);
    w.u32(version);
    w.u8(pinned ? 1 : 0);
    w.u32(answers);
    w.u64(answered);
    w.u8(reactions.length);
    for (const { reaction, count, own } of reactions) {
      w.bytes8(reaction);
      w.u32(count);
      w.u8(own ? 1 : 0);
    }
  }
}
