// @ts-check
// Fields of the group methods, and the bodies of their images.

import {
  decode, encode, readBool, readPage, readText16, readText8, readUsers, writeBool, writePage, writeText16, writeText8, writeUsers,
} from './fields.js';
import { readId, readOptionalId, readTlvs, tlvU32, writeId, writeOptionalId, writeTlvs } from './image.js';
import { Limits, Tlv } from './registry.js';
import { CodecError, Reader, Writer } from './wire.js';

/**
 * @typedef {import('./image.js').TlvField} TlvField
 * @typedef {object} Member
 * @property {string} user
 * @property {number} role one of `GroupRole`
 * @property {number} joined the seq of the image of their joining
 * @property {number} joinedMs its time
 * @property {number} mutedUntilMs they may not speak until then; 0 when they were never muted
 * @property {string} nickname '' for none
 * @property {string} inviter who brought them in; '' for who came by themselves
 * @typedef {{ user: string, what: number, by: string, timeMs: number, text: string }} Waiting what: one of `GroupWaiting`
 * @typedef {object} GroupInfo
 * @property {number} flags bits of `ConversationFlag`: LEFT, INVITED, ASKED, DISMISSED
 * @property {number} role the user's: one of `GroupRole`
 * @property {number} members how many there are
 * @property {number} mutedUntilMs the user may not speak until then
 * @property {number} allMutedUntilMs no plain member may speak until then
 * @property {TlvField[]} tlvs what the group tells of itself and how it is set
 */

/** Roles in a group. */
export const GroupRole = Object.freeze({ MEMBER: 0, ADMIN: 1, OWNER: 2, NONE: 255 });

/** Who may join a group. */
export const JoinMode = Object.freeze({ OPEN: 0, APPROVAL: 1, INVITED: 2 });

/** Why somebody waits in a group. */
export const GroupWaiting = Object.freeze({ ASKED: 1, INVITED: 2 });

/** @type {Map<number, number>} bytes of the texts that a group tells of itself */
const TEXTS = new Map([
  [Tlv.NAME, Limits.NAME_BYTES], [Tlv.AVATAR, Limits.AVATAR_BYTES], [Tlv.ANNOUNCEMENT, Limits.ANNOUNCEMENT_BYTES],
  [Tlv.DESCRIPTION, Limits.DESCRIPTION_BYTES], [Tlv.CUSTOM, Limits.CUSTOM_BYTES],
]);
/** @type {Map<number, number>} the highest values of how a group is set */
const SETTINGS = new Map([[Tlv.JOIN_MODE, JoinMode.INVITED], [Tlv.HISTORY, 1], [Tlv.MAX_MEMBERS, 0xffffffff]]);

/** TLVs of a group to the end. @param {Reader} r */
function readSettings(r) {
  const at = r.position;
  const tlvs = readTlvs(r);
  for (const { tag, value } of tlvs) {
    const isText = value.length <= (TEXTS.get(tag) ?? -1);
    const isSetting = (tlvU32(tlvs, tag) ?? Infinity) <= (SETTINGS.get(tag) ?? -1);
    if (!(TEXTS.has(tag) ? isText : isSetting)) throw new CodecError('a TLV of a group', at);
  }
  return tlvs;
}

/** The fields of GROUP_ADD, GROUP_REMOVE and GROUP_INVITE. @param {Uint8Array} fields */
export function decodeGroupChange(fields) {
  return decode(fields, (r) => ({ group: readId(r, 'group'), users: readUsers(r) }));
}

/** @param {string} group @param {string[]} users */
export function encodeGroupChange(group, users) {
  return encode((w) => {
    writeId(w, group);
    writeUsers(w, users);
  });
}

/** The fields of GROUP_CREATE. @param {Uint8Array} fields */
export function decodeGroupCreate(fields) {
  return decode(fields, (r) => ({ group: readId(r, 'group'), users: readUsers(r), tlvs: readSettings(r) }));
}

/** @param {string} group @param {string[]} users @param {TlvField[]} tlvs */
export function encodeGroupCreate(group, users, tlvs) {
  return encode((w) => {
    writeId(w, group);
    writeUsers(w, users);
    writeTlvs(w, tlvs);
  });
}

/** The fields of GROUP_CHANGE. @param {Uint8Array} fields */
export function decodeGroupSettings(fields) {
  return decode(fields, (r) => {
    const group = readId(r, 'group');
    const at = r.position;
    const tlvs = readSettings(r);
    if (tlvs.length === 0) throw new CodecError('nothing to change', at);
    return { group, tlvs };
  });
}

/** @param {string} group @param {TlvField[]} tlvs */
export function encodeGroupSettings(group, tlvs) {
  return encode((w) => {
    writeId(w, group);
    writeTlvs(w, tlvs);
  });
}

/** The fields of GROUP_DISMISS and GROUP_INFO. @param {Uint8Array} fields */
export function decodeGroup(fields) {
  return decode(fields, (r) => ({ group: readId(r, 'group') }));
}

/** @param {string} group */
export function encodeGroup(group) {
  return encode((w) => writeId(w, group));
}

/** The fields of GROUP_MEMBERS and GROUP_REQUESTS; `after` is the last id of the page before, or ''. @param {Uint8Array} fields */
export function decodeMembersQuery(fields) {
  return decode(fields, (r) => ({ group: readId(r, 'group'), after: readOptionalId(r, 'after') }));
}

/** @param {string} group @param {string} after */
export function encodeMembersQuery(group, after) {
  return encode((w) => {
    writeId(w, group);
    writeOptionalId(w, after);
  });
}

/** @param {Reader} r */
function readRoles(r) {
  const at = r.position;
  const role = r.u8('role');
  if (role > GroupRole.ADMIN) throw new CodecError('role', at);
  return { role, users: readUsers(r) };
}

/** @param {Writer} w @param {number} role @param {string[]} users */
function writeRoles(w, role, users) {
  w.u8(role);
  writeUsers(w, users);
}

/** The fields of GROUP_ROLES. @param {Uint8Array} fields */
export function decodeGroupRoles(fields) {
  return decode(fields, (r) => ({ group: readId(r, 'group'), ...readRoles(r) }));
}

/** @param {string} group @param {number} role @param {string[]} users */
export function encodeGroupRoles(group, role, users) {
  return encode((w) => {
    writeId(w, group);
    writeRoles(w, role, users);
  });
}

/** The body of ROLES_CHANGED. @param {Uint8Array} body */
export function decodeRolesChanged(body) {
  return decode(body, readRoles);
}

/** @param {number} role @param {string[]} users */
export function encodeRolesChanged(role, users) {
  return encode((w) => writeRoles(w, role, users));
}

/** The fields of GROUP_TRANSFER. @param {Uint8Array} fields */
export function decodeGroupTransfer(fields) {
  return decode(fields, (r) => ({ group: readId(r, 'group'), user: readId(r, 'user') }));
}

/** @param {string} group @param {string} user */
export function encodeGroupTransfer(group, user) {
  return encode((w) => {
    writeId(w, group);
    writeId(w, user);
  });
}

/** The body of OWNER_CHANGED. @param {Uint8Array} body */
export function decodeOwnerChanged(body) {
  return decode(body, (r) => ({ user: readId(r, 'user') }));
}

/** @param {string} user */
export function encodeOwnerChanged(user) {
  return encode((w) => writeId(w, user));
}

/** The fields of GROUP_MUTE; no users: everybody. @param {Uint8Array} fields */
export function decodeGroupMute(fields) {
  return decode(fields, (r) => ({ group: readId(r, 'group'), untilMs: r.u64('until'), users: readUsers(r) }));
}

/** @param {string} group @param {number} untilMs @param {string[]} users */
export function encodeGroupMute(group, untilMs, users) {
  return encode((w) => {
    writeId(w, group);
    w.u64(untilMs);
    writeUsers(w, users);
  });
}

/** The body of MEMBERS_MUTED; no users: everybody. @param {Uint8Array} body */
export function decodeMembersMuted(body) {
  return decode(body, (r) => ({ untilMs: r.u64('until'), users: readUsers(r) }));
}

/** @param {number} untilMs @param {string[]} users */
export function encodeMembersMuted(untilMs, users) {
  return encode((w) => {
    w.u64(untilMs);
    writeUsers(w, users);
  });
}

/** The fields of GROUP_JOIN. @param {Uint8Array} fields */
export function decodeGroupJoin(fields) {
  return decode(fields, (r) => ({ group: readId(r, 'group'), text: readText16(r, Limits.REQUEST_TEXT_BYTES, 'text') }));
}

/** @param {string} group @param {string} text */
export function encodeGroupJoin(group, text) {
  return encode((w) => {
    writeId(w, group);
    writeText16(w, text, Limits.REQUEST_TEXT_BYTES, 'text');
  });
}

/** The fields of GROUP_ANSWER. @param {Uint8Array} fields */
export function decodeGroupAnswer(fields) {
  return decode(fields, (r) => ({ group: readId(r, 'group'), accept: readBool(r, 'accept'), users: readUsers(r) }));
}

/** @param {string} group @param {boolean} accept @param {string[]} users */
export function encodeGroupAnswer(group, accept, users) {
  return encode((w) => {
    writeId(w, group);
    writeBool(w, accept);
    writeUsers(w, users);
  });
}

/** The fields of GROUP_NICKNAME. @param {Uint8Array} fields */
export function decodeGroupNickname(fields) {
  return decode(fields, (r) => ({ group: readId(r, 'group'), nickname: readText8(r, Limits.NICKNAME_BYTES, 'nickname') }));
}

/** @param {string} group @param {string} nickname */
export function encodeGroupNickname(group, nickname) {
  return encode((w) => {
    writeId(w, group);
    writeText8(w, nickname, Limits.NICKNAME_BYTES, 'nickname');
  });
}

/** The answer of GROUP_MEMBERS, ascending by id. @param {Uint8Array} fields @returns {{ members: Member[], more: boolean }} */
export function decodeMembersPage(fields) {
  return decode(fields, (r) => {
    const { items, more } = readPage(r, () => ({
      user: readId(r, 'user'),
      role: r.u8('role'),
      joined: r.u64('joined'),
      joinedMs: r.u64('joined_ms'),
      mutedUntilMs: r.u64('muted_until_ms'),
      nickname: readText8(r, Limits.NICKNAME_BYTES, 'nickname'),
      inviter: readOptionalId(r, 'inviter'),
    }));
    return { members: items, more };
  });
}

/** @param {Member[]} members @param {boolean} more */
export function encodeMembersPage(members, more) {
  return encode((w) => writePage(w, members, more, (_, member) => {
    writeId(w, member.user);
    w.u8(member.role);
    w.u64(member.joined);
    w.u64(member.joinedMs);
    w.u64(member.mutedUntilMs);
    writeText8(w, member.nickname, Limits.NICKNAME_BYTES, 'nickname');
    writeOptionalId(w, member.inviter);
  }));
}

/** The answer of GROUP_REQUESTS, ascending by id. @param {Uint8Array} fields @returns {{ waiting: Waiting[], more: boolean }} */
export function decodeRequestsPage(fields) {
  return decode(fields, (r) => {
    const { items, more } = readPage(r, () => ({
      user: readId(r, 'user'),
      what: r.u8('what'),
      by: readId(r, 'by'),
      timeMs: r.u64('time_ms'),
      text: readText16(r, Limits.REQUEST_TEXT_BYTES, 'text'),
    }));
    return { waiting: items, more };
  });
}

/** @param {Waiting[]} waiting @param {boolean} more */
export function encodeRequestsPage(waiting, more) {
  return encode((w) => writePage(w, waiting, more, (_, { user, what, by, timeMs, text }) => {
    writeId(w, user);
    w.u8(what);
    writeId(w, by);
    w.u64(timeMs);
    writeText16(w, text, Limits.REQUEST_TEXT_BYTES, 'text');
  }));
}

/** The answer of GROUP_INFO. @param {Uint8Array} fields @returns {GroupInfo} */
export function decodeGroupInfo(fields) {
  return decode(fields, (r) => ({
    flags: r.u16('flags'),
    role: r.u8('role'),
    members: r.u32('members'),
    mutedUntilMs: r.u64('muted_until_ms'),
    allMutedUntilMs: r.u64('all_muted_until_ms'),
    tlvs: readTlvs(r),
  }));
}

/** @param {GroupInfo} info */
export function encodeGroupInfo(info) {
  return encode((w) => {
    w.u16(info.flags);
    w.u8(info.role);
    w.u32(info.members);
    w.u64(info.mutedUntilMs);
    w.u64(info.allMutedUntilMs);
    writeTlvs(w, info.tlvs);
  });
}
