// @ts-check
// Fields of the methods about a user's view of a channel, and about how far others have it.

import { decode, encode, readBool, writeBool } from './fields.js';
import {
  readId, readOptionalId, readSharedChannel, readTlvs, tlvU32, tlvU64, u32Tlv, u64Tlv, writeChannel, writeId, writeOptionalId,
  writeTlvs,
} from './image.js';
import { Tlv } from './registry.js';
import { CodecError, readCounted, writeCounted } from './wire.js';

/**
 * @typedef {import('./image.js').Channel} Channel
 * @typedef {import('./image.js').TlvField} TlvField
 * @typedef {import('./stream.js').Settings} Settings
 * @typedef {{ user: string, state: number }} ReceiptOf state as in `ReceiptState`
 * @typedef {{ members: number, delivered: number, read: number, users: ReceiptOf[], more: boolean }} ReceiptsPage `members`:
 *   who could get the message, without its author
 * @typedef {{ unread: number, mentions: number, conversations: number }} Badge
 */

/** How far one user has a message. */
export const ReceiptState = Object.freeze({ WAITING: 0, DELIVERED: 1, READ: 2 });

/** @type {number[]} */
const SWITCHES = [Tlv.PINNED, Tlv.HIDDEN, Tlv.MARKED_UNREAD];
/** @type {number[]} */
const SETTINGS = [Tlv.MUTED_UNTIL_MS, ...SWITCHES, Tlv.CLEARED];

/** The fields of READ. @param {Uint8Array} fields */
export function decodeRead(fields) {
  return decode(fields, (r) => ({ channel: readSharedChannel(r), seq: r.u64('seq') }));
}

/** @param {Channel} channel @param {number} seq */
export function encodeRead(channel, seq) {
  return encode((w) => {
    writeChannel(w, channel);
    w.u64(seq);
  });
}

/** Settings as TLVs, tags ascending. @param {Settings} settings */
export function tlvsOfSettings({ mutedUntilMs, pinned, hidden, markedUnread, cleared }) {
  const tlvs = [];
  /** @param {number} tag @param {boolean | undefined} value */
  const flag = (tag, value) => {
    if (value !== undefined) tlvs.push(u32Tlv(tag, value ? 1 : 0));
  };
  if (mutedUntilMs !== undefined) tlvs.push(u64Tlv(Tlv.MUTED_UNTIL_MS, mutedUntilMs));
  flag(Tlv.PINNED, pinned);
  flag(Tlv.HIDDEN, hidden);
  flag(Tlv.MARKED_UNREAD, markedUnread);
  if (cleared !== undefined) tlvs.push(u64Tlv(Tlv.CLEARED, cleared));
  return tlvs;
}

/** @param {TlvField[]} tlvs @returns {Settings} */
export function settingsOfTlvs(tlvs) {
  /** @param {number} tag */
  const flag = (tag) => {
    const value = tlvU32(tlvs, tag);
    return value === null ? undefined : value === 1;
  };
  return {
    mutedUntilMs: tlvU64(tlvs, Tlv.MUTED_UNTIL_MS) ?? undefined,
    pinned: flag(Tlv.PINNED),
    hidden: flag(Tlv.HIDDEN),
    markedUnread: flag(Tlv.MARKED_UNREAD),
    cleared: tlvU64(tlvs, Tlv.CLEARED) ?? undefined,
  };
}

/** The fields of CONVERSATION_SET; other TLVs are left out. @param {Uint8Array} fields @returns {{ channel: Channel, tlvs: TlvField[] }} */
export function decodeConversationSet(fields) {
  return decode(fields, (r) => {
    const channel = readSharedChannel(r);
    const at = r.position;
    const all = readTlvs(r);
    const tlvs = all.filter(({ tag }) => SETTINGS.includes(tag));
    const isSwitched = SWITCHES.every((tag) => (tlvU32(tlvs, tag) ?? 0) <= 1);
    if (tlvs.length === 0 || !isSwitched || all.some(({ tag }) => tag >= 0x4000)) throw new CodecError('settings', at);
    return { channel, tlvs };
  });
}

/** @param {Channel} channel @param {TlvField[]} tlvs */
export function encodeConversationSet(channel, tlvs) {
  return encode((w) => {
    writeChannel(w, channel);
    writeTlvs(w, tlvs);
  });
}

/** The fields of RECEIPTS; `after` is the last id of the page before, or ''. @param {Uint8Array} fields */
export function decodeReceiptsQuery(fields) {
  return decode(fields, (r) => ({ channel: readSharedChannel(r), seq: r.u64('seq'), after: readOptionalId(r, 'after') }));
}

/** @param {Channel} channel @param {number} seq @param {string} after */
export function encodeReceiptsQuery(channel, seq, after) {
  return encode((w) => {
    writeChannel(w, channel);
    w.u64(seq);
    writeOptionalId(w, after);
  });
}

/** The answer of RECEIPTS. @param {Uint8Array} fields @returns {ReceiptsPage} */
export function decodeReceiptsPage(fields) {
  return decode(fields, (r) => ({
    members: r.u32('members'),
    delivered: r.u32('delivered'),
    read: r.u32('read'),
    users: readCounted(r, () => {
      const user = readId(r, 'user');
      const at = r.position;
      const state = r.u8('state');
      if (state > ReceiptState.READ) throw new CodecError('state', at);
      return { user, state };
    }),
    more: readBool(r, 'more'),
  }));
}

/** @param {ReceiptsPage} page */
export function encodeReceiptsPage({ members, delivered, read, users, more }) {
  return encode((w) => {
    w.u32(members);
    w.u32(delivered);
    w.u32(read);
    writeCounted(w, users, (_, { user, state }) => {
      writeId(w, user);
      w.u8(state);
    });
    writeBool(w, more);
  });
}

/** The answer of BADGE. @param {Uint8Array} fields @returns {Badge} */
export function decodeBadge(fields) {
  return decode(fields, (r) => ({ unread: r.u32('unread'), mentions: r.u32('mentions'), conversations: r.u32('conversations') }));
}

/** @param {Badge} badge */
export function encodeBadge({ unread, mentions, conversations }) {
  return encode((w) => {
    w.u32(unread);
    w.u32(mentions);
    w.u32(conversations);
  });
}
