// @ts-check
// Packets and frames as SPEC.md defines them: bytes to objects and back, without IO and without a clock.
// Decoded byte fields are views of the input; a field that is wrong throws a `CodecError` with reason, what and at.

import { readInterval, readSyncItem, writeSyncItem } from './elements.js';
import {
  isPublic, readImage, readOpaqueSender, readOptionalId, readSender, readSharedChannel, readTlvs, writeChannel, writeImage,
  writeOptionalId, writeSender, writeTlvs,
} from './image.js';
import { ImageFlag, Kind, Limits, Reason, ReasonInfo } from './registry.js';
import { CodecError, Reader, Writer, crc32, readCounted, writeCounted } from './wire.js';

export {
  ChannelKind, SenderKind, addressOf, authorOf, channelKey, channelOf, decodeChannel, decodeImage, encodeChannel,
  encodeImage, flagsByServer, fromOf, groupChannel, isId, personChannel, idsTlv, requestSender, slotOf, textTlv, tlvBytes,
  tlvText, tlvU32, tlvU64, u32Tlv, u64Tlv,
} from './image.js';
export { decodeUsers, encodeUsers } from './fields.js';
export * from './fields-groups.js';
export * from './fields-marks.js';
export * from './fields-notices.js';
export * from './fields-people.js';
export * from './fields-broadcast.js';
export * from './fields-schedule.js';
export * from './fields-targets.js';
export { CodecError, MAX_INTEGER, crc32 } from './wire.js';

/**
 * @typedef {import('./image.js').Channel} Channel
 * @typedef {import('./image.js').Image} Image
 * @typedef {import('./image.js').TlvField} TlvField
 * @typedef {{ kind: number, payload: Uint8Array }} Frame
 * @typedef {{ channel: Channel, flags: number, epoch: number, head: number, syncFrom: number, read: number,
 *   unread: number, mentions: number, mutedUntilMs: number, cleared: number, name: Uint8Array, avatar: Uint8Array,
 *   image: Uint8Array }} Conversation
 * @typedef {import('./elements.js').SyncItem} SyncItem
 * @typedef {import('./elements.js').Made} Made
 * @typedef {{ heartbeatMs: number, deadMs: number, frameBytes: number, bodyBytes: number, syncPage: number }} ServerLimits
 *
 * @typedef {{ kind: 1, versionMin: number, versionMax: number, token: Uint8Array, device: string,
 *   sender: Uint8Array, tlvs: TlvField[] }} Connect
 * @typedef {{ kind: 2, reason: number, version: number, versionMin: number, versionMax: number, user: string,
 *   sender: Uint8Array, serverTimeMs: number, limits: ServerLimits, tlvs: TlvField[] }} Connack
 * @typedef {{ kind: 3, number: number, oldest: number, channel: Channel, flags: number, body: Uint8Array,
 *   tlvs: TlvField[] }} Send
 * @typedef {{ kind: 4, number: number, reason: number, seq: number, timeMs: number, tlvs: TlvField[] }} Sendack
 * @typedef {{ kind: 5, image: Image }} Recv
 * @typedef {{ kind: 6, channel: Channel, seq: number, tlvs: TlvField[] }} Recvack
 * @typedef {{ kind: 7, tlvs: TlvField[] }} Ping
 * @typedef {{ kind: 8, tlvs: TlvField[] }} Pong
 * @typedef {{ kind: 9, reason: number, tlvs: TlvField[] }} Disconnect
 * @typedef {{ kind: 10, request: number, token: Uint8Array, page: Uint8Array, limit: number, tlvs: TlvField[] }} List
 * @typedef {{ kind: 11, request: number, reason: number, token: Uint8Array, next: Uint8Array,
 *   conversations: Conversation[], tlvs: TlvField[] }} Listed
 * @typedef {{ kind: 12, request: number, channel: Channel, epoch: number, from: number, to: number, limit: number,
 *   tlvs: TlvField[] }} Sync
 * @typedef {{ kind: 13, request: number, reason: number, epoch: number, head: number, from: number, to: number,
 *   items: SyncItem[], tlvs: TlvField[] }} Synced
 * @typedef {{ kind: 14, what: number, fields: Uint8Array, tlvs: TlvField[] }} Notice
 * @typedef {{ kind: 15, dropped: number, tlvs: TlvField[] }} Lag
 * @typedef {{ kind: 16, request: number, method: number, number: number, oldest: number, fields: Uint8Array,
 *   tlvs: TlvField[] }} Call
 * @typedef {{ kind: 17, request: number, reason: number, seq: number, timeMs: number, fields: Uint8Array,
 *   tlvs: TlvField[] }} Reply
 * @typedef {Connect | Connack | Send | Sendack | Recv | Recvack | Ping | Pong | Disconnect | List | Listed | Sync |
 *   Synced | Notice | Lag | Call | Reply} Packet
 */

/** Bits of a conversation's flags. */
export const ConversationFlag = Object.freeze({
  /** The body of the last image is cut to 256 bytes. */
  CUT: 1,
  /** The user is no member any more; head is the last seq they may see. */
  LEFT: 2,
  /** It stays at the top. */
  PINNED: 4,
  /** It is left out of the list until something new comes. */
  HIDDEN: 8,
  /** It shows as unread whatever the count. */
  MARKED_UNREAD: 16,
  /** The user is invited to the group and is no member yet. */
  INVITED: 32,
  /** The user has asked to join the group. */
  ASKED: 64,
  /** The user blocks the other one. */
  BLOCKED: 128,
  /** The group was dismissed. */
  DISMISSED: 256,
});

const SEND_FLAGS = ImageFlag.COUNTABLE | ImageFlag.SILENT | ImageFlag.MENTION_ALL | ImageFlag.MENTIONS;

// --- packets -------------------------------------------------------------------------------------------------------

/** @param {Reader} r */
function readReason(r) {
  const at = r.position;
  const reason = r.u16('reason');
  if (!(reason in ReasonInfo)) throw new CodecError('reason', at);
  return reason;
}

/** @param {Reader} r @returns {Conversation} */
function readConversation(r) {
  return {
    channel: readSharedChannel(r),
    flags: r.u16('conversation flags'),
    epoch: r.u32('epoch'),
    head: r.u64('head'),
    syncFrom: r.u64('sync_from'),
    read: r.u64('read'),
    unread: r.u16('unread'),
    mentions: r.u16('mentions'),
    mutedUntilMs: r.u64('muted_until_ms'),
    cleared: r.u64('cleared'),
    name: r.bytes8('name'),
    avatar: r.bytes16(Limits.AVATAR_BYTES, 'avatar'),
    image: r.bytes32('image'),
  };
}

/** @param {Writer} w @param {Conversation} conversation */
function writeConversation(w, conversation) {
  writeChannel(w, conversation.channel);
  w.u16(conversation.flags);
  w.u32(conversation.epoch);
  w.u64(conversation.head);
  w.u64(conversation.syncFrom);
  w.u64(conversation.read);
  w.u16(conversation.unread);
  w.u16(conversation.mentions);
  w.u64(conversation.mutedUntilMs);
  w.u64(conversation.cleared);
  w.bytes8(conversation.name);
  w.bytes16(conversation.avatar);
  w.bytes32(conversation.image);
}

/** @param {Reader} r */
function readVersions(r) {
  const at = r.position;
  const versionMin = r.u8('version_min');
  const versionMax = r.u8('version_max');
  if (versionMax < versionMin) throw new CodecError('version_max is below version_min', at + 1);
  return { versionMin, versionMax };
}

/** The flags that a client may set. @param {Reader} r */
function readSendFlags(r) {
  const at = r.position;
  const flags = r.u16('flags');
  if ((flags & ~SEND_FLAGS) !== 0) throw new CodecError('flags', at);
  return flags;
}

/** @param {Reader} r */
function readRecv(r) {
  const at = r.position;
  const image = readImage(r);
  if (!isPublic(image)) throw new CodecError('an image that is not for clients', at);
  return image;
}

/** @param {Reader} r @returns {ServerLimits} */
function readLimits(r) {
  return {
    heartbeatMs: r.u32('heartbeat_ms'),
    deadMs: r.u32('dead_ms'),
    frameBytes: r.u32('frame_bytes'),
    bodyBytes: r.u32('body_bytes'),
    syncPage: r.u16('sync_page'),
  };
}

/** @type {Record<number, (r: Reader) => any>} the fields of each kind, in the order of the wire */
const READ = {
  [Kind.CONNECT]: (r) => ({
    ...readVersions(r),
    token: r.bytes16(Limits.TOKEN_BYTES, 'token'),
    device: readOptionalId(r, 'device'),
    sender: readSender(r),
    tlvs: readTlvs(r),
  }),
  [Kind.CONNACK]: (r) => ({
    reason: readReason(r),
    version: r.u8('version'),
    versionMin: r.u8('version_min'),
    versionMax: r.u8('version_max'),
    user: readOptionalId(r, 'user'),
    sender: readOpaqueSender(r),
    serverTimeMs: r.u64('server_time_ms'),
    limits: readLimits(r),
    tlvs: readTlvs(r),
  }),
  [Kind.SEND]: (r) => ({
    number: r.u64('number'),
    oldest: r.u64('oldest'),
    channel: readSharedChannel(r),
    flags: readSendFlags(r),
    body: r.bytes32('body'),
    tlvs: readTlvs(r),
  }),
  [Kind.SENDACK]: (r) => ({
    number: r.u64('number'),
    reason: readReason(r),
    seq: r.u64('seq'),
    timeMs: r.u64('time_ms'),
    tlvs: readTlvs(r),
  }),
  [Kind.RECV]: (r) => ({ image: readRecv(r) }),
  [Kind.RECVACK]: (r) => ({ channel: readSharedChannel(r), seq: r.u64('seq'), tlvs: readTlvs(r) }),
  [Kind.PING]: (r) => ({ tlvs: readTlvs(r) }),
  [Kind.PONG]: (r) => ({ tlvs: readTlvs(r) }),
  [Kind.DISCONNECT]: (r) => ({ reason: readReason(r), tlvs: readTlvs(r) }),
  [Kind.LIST]: (r) => ({
    request: r.u32('request'),
    token: r.bytes16(Limits.LIST_TOKEN_BYTES, 'token'),
    page: r.bytes16(Limits.LIST_TOKEN_BYTES, 'page'),
    limit: r.u16('limit'),
    tlvs: readTlvs(r),
  }),
  [Kind.LISTED]: (r) => ({
    request: r.u32('request'),
    reason: readReason(r),
    token: r.bytes16(Limits.LIST_TOKEN_BYTES, 'token'),
    next: r.bytes16(Limits.LIST_TOKEN_BYTES, 'next'),
    conversations: readCounted(r, readConversation),
    tlvs: readTlvs(r),
  }),
  [Kind.SYNC]: (r) => ({
    request: r.u32('request'),
    channel: readSharedChannel(r),
    epoch: r.u32('epoch'),
    ...readInterval(r),
    limit: r.u16('limit'),
    tlvs: readTlvs(r),
  }),
  [Kind.SYNCED]: (r) => ({
    request: r.u32('request'),
    reason: readReason(r),
    epoch: r.u32('epoch'),
    head: r.u64('head'),
    from: r.u64('from'),
    to: r.u64('to'),
    items: readCounted(r, readSyncItem),
    tlvs: readTlvs(r),
  }),
  [Kind.NOTICE]: (r) => ({ what: r.u8('notice'), fields: r.bytes32('fields'), tlvs: readTlvs(r) }),
  [Kind.LAG]: (r) => ({ dropped: r.u32('dropped'), tlvs: readTlvs(r) }),
  [Kind.CALL]: (r) => ({
    request: r.u32('request'),
    method: r.u16('method'),
    number: r.u64('number'),
    oldest: r.u64('oldest'),
    fields: r.bytes32('fields'),
    tlvs: readTlvs(r),
  }),
  [Kind.REPLY]: (r) => ({
    request: r.u32('request'),
    reason: readReason(r),
    seq: r.u64('seq'),
    timeMs: r.u64('time_ms'),
    fields: r.bytes32('fields'),
    tlvs: readTlvs(r),
  }),
};

/**
 * What `frame` says; null when its kind is not known and may be ignored (0x80 and above).
 * @param {Frame} frame
 * @returns {Packet | null}
 */
export function decodePacket(frame) {
  const read = READ[frame.kind];
  if (read === undefined) {
    if (frame.kind >= 0x80) return null;
    throw new CodecError('frame kind', 4, Reason.UNKNOWN_KIND);
  }
  const r = new Reader(frame.payload);
  const fields = read(r);
  r.end();
  return { kind: frame.kind, ...fields };
}

/** @param {Writer} w @param {Packet} packet */
function writeFields(w, packet) {
  switch (packet.kind) {
    case Kind.CONNECT:
      w.u8(packet.versionMin);
      w.u8(packet.versionMax);
      w.bytes16(packet.token);
      writeOptionalId(w, packet.device);
      return writeSender(w, packet.sender);
    case Kind.CONNACK:
      w.u16(packet.reason);
      w.u8(packet.version);
      w.u8(packet.versionMin);
      w.u8(packet.versionMax);
      writeOptionalId(w, packet.user);
      writeSender(w, packet.sender);
      w.u64(packet.serverTimeMs);
      w.u32(packet.limits.heartbeatMs);
      w.u32(packet.limits.deadMs);
      w.u32(packet.limits.frameBytes);
      w.u32(packet.limits.bodyBytes);
      return w.u16(packet.limits.syncPage);
    case Kind.SEND:
      w.u64(packet.number);
      w.u64(packet.oldest);
      writeChannel(w, packet.channel);
      w.u16(packet.flags);
      return w.bytes32(packet.body);
    case Kind.SENDACK:
      w.u64(packet.number);
      w.u16(packet.reason);
      w.u64(packet.seq);
      return w.u64(packet.timeMs);
    case Kind.RECV:
      return writeImage(w, packet.image);
    case Kind.RECVACK:
      writeChannel(w, packet.channel);
      return w.u64(packet.seq);
    case Kind.DISCONNECT:
      return w.u16(packet.reason);
    case Kind.LIST:
      w.u32(packet.request);
      w.bytes16(packet.token);
      w.bytes16(packet.page);
      return w.u16(packet.limit);
    case Kind.LISTED:
      w.u32(packet.request);
      w.u16(packet.reason);
      w.bytes16(packet.token);
      w.bytes16(packet.next);
      return writeCounted(w, packet.conversations, writeConversation);
    case Kind.SYNC:
      w.u32(packet.request);
      writeChannel(w, packet.channel);
      w.u32(packet.epoch);
      w.u64(packet.from);
      w.u64(packet.to);
      return w.u16(packet.limit);
    case Kind.SYNCED:
      w.u32(packet.request);
      w.u16(packet.reason);
      w.u32(packet.epoch);
      w.u64(packet.head);
      w.u64(packet.from);
      w.u64(packet.to);
      return writeCounted(w, packet.items, writeSyncItem);
    case Kind.NOTICE:
      w.u8(packet.what);
      return w.bytes32(packet.fields);
    case Kind.LAG:
      return w.u32(packet.dropped);
    case Kind.CALL:
      w.u32(packet.request);
      w.u16(packet.method);
      w.u64(packet.number);
      w.u64(packet.oldest);
      return w.bytes32(packet.fields);
    case Kind.REPLY:
      w.u32(packet.request);
      w.u16(packet.reason);
      w.u64(packet.seq);
      w.u64(packet.timeMs);
      return w.bytes32(packet.fields);
  }
}

/** The frame of `packet`. @param {Packet} packet @returns {Uint8Array} */
export function encodePacket(packet) {
  const w = new Writer();
  writeFields(w, packet);
  if (packet.kind !== Kind.RECV) writeTlvs(w, packet.tlvs);
  return encodeFrame(packet.kind, w.finish());
}

// --- frames --------------------------------------------------------------------------------------------------------

/** @param {number} kind @param {Uint8Array} payload */
export function encodeFrame(kind, payload) {
  if (payload.length > Limits.FRAME_PAYLOAD_BYTES) throw new RangeError('a frame over the limit');
  const w = new Writer();
  w.u32(payload.length);
  w.u8(kind);
  w.u8(0);
  w.u32(crc32(w.finish(), payload));
  w.raw(payload);
  return w.finish();
}

/** Cuts a stream of bytes into frames, whatever pieces it comes in. */
export class Decoder {
  /** @type {Uint8Array} */
  #bytes = new Uint8Array(0);

  /** Gives the next piece of the stream. @param {Uint8Array} piece */
  feed(piece) {
    if (this.#bytes.length === 0) {
      this.#bytes = piece;
      return;
    }
    const joined = new Uint8Array(this.#bytes.length + piece.length);
    joined.set(this.#bytes);
    joined.set(piece, this.#bytes.length);
    this.#bytes = joined;
  }

  /** Whether part of a frame has arrived and its rest has not. */
  get isPartial() {
    return this.#bytes.length > 0;
  }

  /**
   * The next whole frame, or null when more bytes are needed. After an error the stream cannot be followed.
   * @returns {Frame | null}
   */
  next() {
    const bytes = this.#bytes;
    if (bytes.length < Limits.HEADER_BYTES) return null;
    const header = new Reader(bytes.subarray(0, Limits.HEADER_BYTES));
    const length = header.u32('frame length');
    if (length > Limits.FRAME_PAYLOAD_BYTES) throw new CodecError('frame length', 0, Reason.FRAME_TOO_LARGE);
    const kind = header.u8('frame kind');
    if (header.u8('frame flags') !== 0) throw new CodecError('frame flags', 5);
    const end = Limits.HEADER_BYTES + length;
    if (bytes.length < end) return null;
    const payload = bytes.subarray(Limits.HEADER_BYTES, end);
    if (crc32(bytes.subarray(0, 6), payload) !== header.u32('frame CRC')) {
      throw new CodecError('frame CRC', 6, Reason.BAD_CRC);
    }
    this.#bytes = bytes.subarray(end);
    return { kind, payload };
  }
}
