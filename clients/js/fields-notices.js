// @ts-check
// The fields of NOTICEs: what a client says, and what the server tells.

import { decode, encode, readBool, writeBool } from './fields.js';
import { readBelow, readPresences, writePresences } from './fields-people.js';
import { readId, readSharedChannel, writeChannel, writeId } from './image.js';
import { Limits, NoticeKind } from './registry.js';
import { CodecError, Reader, Writer, readCounted, writeCounted } from './wire.js';

/**
 * @typedef {import('./image.js').Channel} Channel
 * @typedef {{ user: string, delivered: number, read: number }} Receipt 0: it does not say
 * @typedef {{ what: 1, channel: Channel, isWriting: boolean } | { what: 5, channel: Channel, body: Uint8Array }} Said
 * @typedef {{ what: 1, channel: Channel, user: string, isWriting: boolean }} TypingTold
 * @typedef {{ what: 2, users: import('./fields-people.js').Presence[] }} PresenceTold
 * @typedef {{ what: 3, channel: Channel, marks: Receipt[] }} ReceiptTold no marks: too many changed
 * @typedef {{ what: 4, channel: Channel, read: number, from: number, to: number, blocks: boolean, contact: number,
 *   waiting: number }} ConversationTold `from` and `to`: what the user just deleted for themselves; 0 for nothing
 * @typedef {{ what: 5, channel: Channel, user: string, timeMs: number, body: Uint8Array }} SignalTold
 * @typedef {{ what: 6, group: string, waiting: number }} RequestsTold
 * @typedef {TypingTold | PresenceTold | ReceiptTold | ConversationTold | SignalTold | RequestsTold} Told
 */

const SIGNAL_BYTES = 16_384;

/** What a client says. @param {number} what @param {Uint8Array} fields @returns {Said | null} null for what clients do not say */
export function decodeSaid(what, fields) {
  if (what !== NoticeKind.TYPING && what !== NoticeKind.SIGNAL) return null;
  return decode(fields, (r) => {
    const channel = readSharedChannel(r);
    return what === NoticeKind.TYPING ? { what, channel, isWriting: readBool(r, 'state') } : { what, channel, body: readBody(r) };
  });
}

/** The fields of what a client says. @param {Said} said */
export function encodeSaid(said) {
  return encode((w) => {
    writeChannel(w, said.channel);
    if (said.what === NoticeKind.TYPING) writeBool(w, said.isWriting);
    else w.bytes32(said.body);
  });
}

/** What the server tells; null for a kind that is not known. @param {number} what @param {Uint8Array} fields @returns {Told | null} */
export function decodeTold(what, fields) {
  const read = READ[what];
  return read === undefined ? null : decode(fields, (r) => ({ what, .../** @type {any} */ (read(r)) }));
}

/** @type {Record<number, (r: Reader) => unknown>} */
const READ = {
  [NoticeKind.TYPING]: (r) => ({ channel: readSharedChannel(r), user: readId(r, 'user'), isWriting: readBool(r, 'state') }),
  [NoticeKind.PRESENCE]: (r) => ({ users: readPresences(r) }),
  [NoticeKind.RECEIPT]: (r) => ({ channel: readSharedChannel(r), marks: readReceipts(r) }),
  [NoticeKind.CONVERSATION]: (r) => ({
    channel: readSharedChannel(r),
    read: r.u64('read'),
    from: r.u64('from'),
    to: r.u64('to'),
    blocks: readBool(r, 'blocks'),
    contact: readBelow(r, 4, 'contact'),
    waiting: readBelow(r, 3, 'waiting'),
  }),
  [NoticeKind.SIGNAL]: (r) => ({
    channel: readSharedChannel(r), user: readId(r, 'user'), timeMs: r.u64('time_ms'), body: readBody(r),
  }),
  [NoticeKind.REQUESTS]: (r) => ({ group: readId(r, 'group'), waiting: r.u32('waiting') }),
};

/** @param {Reader} r @returns {Receipt[]} */
function readReceipts(r) {
  const at = r.position;
  const marks = readCounted(r, () => ({ user: readId(r, 'user'), delivered: r.u64('delivered'), read: r.u64('read') }));
  if (marks.length > Limits.CALL_IDS) throw new CodecError('more than 100 receipts', at);
  return marks;
}

/** @param {Reader} r */
function readBody(r) {
  const at = r.position;
  const body = r.bytes32('body');
  if (body.length > SIGNAL_BYTES) throw new CodecError('body over 16,384 bytes', at);
  return body;
}

/** The fields of what the server tells. @param {Told} told */
export function encodeTold(told) {
  return encode((w) => writeTold(w, told));
}

/** @param {Writer} w @param {Told} told */
function writeTold(w, told) {
  if (told.what === NoticeKind.PRESENCE) return writePresences(w, told.users);
  if (told.what === NoticeKind.REQUESTS) {
    writeId(w, told.group);
    return w.u32(told.waiting);
  }
  writeChannel(w, told.channel);
  switch (told.what) {
    case NoticeKind.TYPING:
      writeId(w, told.user);
      return writeBool(w, told.isWriting);
    case NoticeKind.RECEIPT:
      return writeCounted(w, told.marks, (_, { user, delivered, read }) => {
        writeId(w, user);
        w.u64(delivered);
        w.u64(read);
      });
    case NoticeKind.CONVERSATION:
      w.u64(told.read);
      w.u64(told.from);
      w.u64(told.to);
      writeBool(w, told.blocks);
      w.u8(told.contact);
      return w.u8(told.waiting);
    case NoticeKind.SIGNAL:
      writeId(w, told.user);
      w.u64(told.timeMs);
      return w.bytes32(told.body);
    default:
      return undefined;
  }
}
