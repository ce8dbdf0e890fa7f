// @ts-check
// The golden vectors of the fields of CALLs, REPLYs and NOTICEs, in both directions.

import assert from 'node:assert/strict';
import test from 'node:test';

import * as codec from '../codec.js';
import { GapReason, Limits, NoticeKind, Reason } from '../registry.js';
import { bytesOf, hexOf, vectors } from './golden.js';

/** @typedef {{ decode: (bytes: Uint8Array) => any, encode: (fields: any) => Uint8Array }} Fields `decode` gives what `encode` takes */

/** @param {number} what @returns {Fields} */
const told = (what) => ({ decode: (bytes) => codec.decodeTold(what, bytes), encode: codec.encodeTold });
/** @param {number} what @returns {Fields} */
const said = (what) => ({ decode: (bytes) => codec.decodeSaid(what, bytes), encode: codec.encodeSaid });

/** @type {Record<string, Fields>} */
const GROUPS = {
  change: { decode: codec.decodeGroupChange, encode: ({ group, users }) => codec.encodeGroupChange(group, users) },
  create: { decode: codec.decodeGroupCreate, encode: ({ group, users, tlvs }) => codec.encodeGroupCreate(group, users, tlvs) },
  settings: { decode: codec.decodeGroupSettings, encode: ({ group, tlvs }) => codec.encodeGroupSettings(group, tlvs) },
  group: { decode: codec.decodeGroup, encode: ({ group }) => codec.encodeGroup(group) },
  roles: { decode: codec.decodeGroupRoles, encode: ({ group, role, users }) => codec.encodeGroupRoles(group, role, users) },
  roles_changed: { decode: codec.decodeRolesChanged, encode: ({ role, users }) => codec.encodeRolesChanged(role, users) },
  transfer: { decode: codec.decodeGroupTransfer, encode: ({ group, user }) => codec.encodeGroupTransfer(group, user) },
  owner_changed: { decode: codec.decodeOwnerChanged, encode: ({ user }) => codec.encodeOwnerChanged(user) },
  mute: { decode: codec.decodeGroupMute, encode: ({ group, untilMs, users }) => codec.encodeGroupMute(group, untilMs, users) },
  members_muted: { decode: codec.decodeMembersMuted, encode: ({ untilMs, users }) => codec.encodeMembersMuted(untilMs, users) },
  join: { decode: codec.decodeGroupJoin, encode: ({ group, text }) => codec.encodeGroupJoin(group, text) },
  answer: { decode: codec.decodeGroupAnswer, encode: ({ group, accept, users }) => codec.encodeGroupAnswer(group, accept, users) },
  nickname: { decode: codec.decodeGroupNickname, encode: ({ group, nickname }) => codec.encodeGroupNickname(group, nickname) },
  members: { decode: codec.decodeMembersQuery, encode: ({ group, after }) => codec.encodeMembersQuery(group, after) },
  members_page: { decode: codec.decodeMembersPage, encode: ({ members, more }) => codec.encodeMembersPage(members, more) },
  requests_page: { decode: codec.decodeRequestsPage, encode: ({ waiting, more }) => codec.encodeRequestsPage(waiting, more) },
  info: { decode: codec.decodeGroupInfo, encode: codec.encodeGroupInfo },
  users: { decode: codec.decodeUserList, encode: ({ users }) => codec.encodeUserList(users) },
};

/** @type {Record<string, Fields>} */
const TARGETS = {
  revoke: { decode: codec.decodeRevoke, encode: ({ channel, seq }) => codec.encodeRevoke(channel, seq) },
  edit: { decode: codec.decodeEdit, encode: (it) => codec.encodeEdit(it.channel, it.seq, it.version, it.body) },
  react: { decode: codec.decodeReact, encode: (it) => codec.encodeReact(it.channel, it.seq, it.on, it.reaction) },
  pin: { decode: codec.decodePin, encode: ({ channel, seq, on }) => codec.encodePin(channel, seq, on) },
  hide: { decode: codec.decodeHide, encode: ({ channel, from, to }) => codec.encodeHide(channel, from, to) },
  pins: { decode: codec.decodePinsQuery, encode: ({ channel, afterSeq }) => codec.encodePinsQuery(channel, afterSeq) },
  edits: { decode: codec.decodeEditsQuery, encode: (it) => codec.encodeEditsQuery(it.channel, it.seq, it.afterSeq) },
  thread: { decode: codec.decodeThreadQuery, encode: (it) => codec.encodeThreadQuery(it.channel, it.seq, it.beforeSeq) },
  elements: { decode: codec.decodeElementsPage, encode: ({ items, more }) => codec.encodeElementsPage(items, more) },
};

/** @type {Record<string, Fields>} */
const SCHEDULE = {
  schedule: { decode: codec.decodeSchedule, encode: ({ channel, plan }) => codec.encodeSchedule(channel, plan) },
  schedule_edit: { decode: codec.decodeScheduleEdit, encode: ({ channel, id, plan }) => codec.encodeScheduleEdit(channel, id, plan) },
  schedule_named: { decode: codec.decodeScheduleNamed, encode: ({ channel, id }) => codec.encodeScheduleNamed(channel, id) },
  scheduled_page: { decode: codec.decodeScheduledPage, encode: ({ scheduled, more }) => codec.encodeScheduledPage(scheduled, more) },
};

/** @type {Record<string, Fields>} */
const BROADCAST = {
  broadcast: { decode: codec.decodeBroadcast, encode: ({ tag, flags, body }) => codec.encodeBroadcast(tag, flags, body) },
  broadcast_cancel: { decode: codec.decodeBroadcastCancel, encode: ({ id }) => codec.encodeBroadcastCancel(id) },
  broadcasts: { decode: codec.decodeBroadcasts, encode: ({ broadcasts }) => codec.encodeBroadcasts(broadcasts) },
  tags_set: { decode: codec.decodeTagsSet, encode: ({ user, tags }) => codec.encodeTagsSet(user, tags) },
  tags: { decode: codec.decodeTags, encode: ({ tags }) => codec.encodeTags(tags) },
};

/** @type {Record<string, Fields>} */
const MARKS = {
  read: { decode: codec.decodeRead, encode: ({ channel, seq }) => codec.encodeRead(channel, seq) },
  view: {
    decode: codec.decodeConversationSet, encode: ({ channel, tlvs }) => codec.encodeConversationSet(channel, tlvs),
  },
  receipts: { decode: codec.decodeReceiptsQuery, encode: ({ channel, seq, after }) => codec.encodeReceiptsQuery(channel, seq, after) },
  receipts_page: { decode: codec.decodeReceiptsPage, encode: codec.encodeReceiptsPage },
  badge: { decode: codec.decodeBadge, encode: codec.encodeBadge },
};

/** @type {Record<string, Fields>} */
const PEOPLE = {
  user: { decode: codec.decodeUser, encode: ({ user }) => codec.encodeUser(user) },
  optional: { decode: codec.decodeOptional, encode: ({ id }) => codec.encodeOptional(id) },
  switch: { decode: codec.decodeUserSwitch, encode: ({ user, is }) => codec.encodeUserSwitch(user, is) },
  ask: {
    decode: (bytes) => codec.decodeUserText(bytes, Limits.REQUEST_TEXT_BYTES),
    encode: ({ user, text }) => codec.encodeUserText(user, text, Limits.REQUEST_TEXT_BYTES),
  },
  note: {
    decode: (bytes) => codec.decodeUserText(bytes, Limits.NAME_BYTES),
    encode: ({ user, text }) => codec.encodeUserText(user, text, Limits.NAME_BYTES),
  },
  profiles: { decode: codec.decodeProfiles, encode: ({ profiles }) => codec.encodeProfiles(profiles) },
  devices: { decode: codec.decodeDevices, encode: ({ devices }) => codec.encodeDevices(devices) },
  blocked: { decode: codec.decodeBlockedPage, encode: ({ users, more }) => codec.encodeBlockedPage(users, more) },
  contacts: { decode: codec.decodeContactsPage, encode: ({ contacts, more }) => codec.encodeContactsPage(contacts, more) },
  usage: { decode: codec.decodeUsageQuery, encode: ({ channel }) => codec.encodeUsageQuery(channel) },
  used: { decode: codec.decodeUsage, encode: ({ scopes }) => codec.encodeUsage(scopes) },
  presence_list: { decode: codec.decodePresences, encode: ({ users }) => codec.encodePresences(users) },
  watch: { decode: codec.decodeWatch, encode: ({ channel }) => codec.encodeWatch(channel) },
};

/** @type {Record<string, Fields>} */
const NOTICES = {
  said_typing: said(NoticeKind.TYPING),
  said_signal: said(NoticeKind.SIGNAL),
  told_typing: told(NoticeKind.TYPING),
  told_presence: told(NoticeKind.PRESENCE),
  told_receipt: told(NoticeKind.RECEIPT),
  told_conversation: told(NoticeKind.CONVERSATION),
  told_signal: told(NoticeKind.SIGNAL),
  told_requests: told(NoticeKind.REQUESTS),
};

const ALL = { ...GROUPS, ...TARGETS, ...SCHEDULE, ...BROADCAST, ...MARKS, ...PEOPLE, ...NOTICES };
const GAPS = /** @type {Record<string, number>} */ (GapReason);
/** Fields that are text here, and bytes in the vectors of groups. */
const TEXTS = ['text', 'nickname'];

/** What a vector says, in the words of this client: camel case, bytes as hex without spaces. @param {any} value @param {string} field @param {boolean} ofGroups @returns {any} */
function expected(value, field, ofGroups) {
  if (typeof value === 'string') {
    if (field === 'why') return GAPS[value];
    if (TEXTS.includes(field)) return ofGroups ? Buffer.from(bytesOf(value)).toString() : value;
    return ['value', 'body', 'image', 'reaction'].includes(field) ? hexOf(bytesOf(value)) : value;
  }
  if (Array.isArray(value)) return value.map((item) => expected(item, field, ofGroups));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => {
    const camel = name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
    return [RENAMED[camel] ?? camel, expected(item, name, ofGroups)];
  }));
}

/** @type {Record<string, string>} what the client calls otherwise */
const RENAMED = { settings: 'tlvs' };

/** As `expected`: byte fields as hex, what the vectors say by 0 and 1 so. @param {any} value @param {string} what @returns {any} */
function plain(value, what) {
  if (value instanceof Uint8Array) return hexOf(value);
  if (Array.isArray(value)) return value.map((item) => plain(item, what));
  if (value === null || typeof value !== 'object') return value;
  const { what: kind, isWriting, ...rest } = value;
  const entries = Object.entries(rest).map(([name, item]) => [name, name === 'blocks' ? Number(item) : plain(item, what)]);
  if (isWriting !== undefined) entries.push(['state', Number(isWriting)]);
  if (kind !== undefined && !(what in NOTICES)) entries.push(['what', kind]);
  return flat(Object.fromEntries(entries), what);
}

/** @param {any} page @param {string} what */
function flat(page, what) {
  if (what !== 'receipts_page' || !('members' in page)) return page;
  const { members, delivered, read, ...rest } = page;
  return { counts: { members, delivered, read }, ...rest };
}

for (const { name, what, hex, fields } of vectors('methods').valid) {
  test(`fields of ${what}: ${name}`, () => {
    const decoded = ALL[what].decode(bytesOf(hex));
    assert.deepEqual(plain(decoded, what), expected(fields, '', what in GROUPS));
    assert.equal(hexOf(ALL[what].encode(decoded)), hexOf(bytesOf(hex)));
  });
}

for (const { name, what, hex } of vectors('methods').malformed) {
  test(`malformed fields of ${what}: ${name}`, () => {
    assert.throws(() => ALL[what].decode(bytesOf(hex)), { name: 'CodecError', reason: Reason.MALFORMED });
  });
}
