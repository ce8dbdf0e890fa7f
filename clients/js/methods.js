// @ts-check
// The fields of each method of CALL, and the body of membership images.

import { readId, readOptionalId, readSharedChannel, writeChannel, writeId, writeOptionalId } from './image.js';
import { Limits } from './registry.js';
import { CodecError, Reader, Writer, readCounted, writeCounted } from './wire.js';

/**
 * @typedef {{ user: string, role: number }} Member role 0 member, 2 owner
 */

/** @template T @param {Uint8Array} bytes @param {(r: Reader) => T} read @returns {T} */
function decode(bytes, read) {
  const r = new Reader(bytes);
  const value = read(r);
  r.end();
  return value;
}

/** @param {(w: Writer) => void} write */
function encode(write) {
  const w = new Writer();
  write(w);
  return w.finish();
}

/** @param {Reader} r */
function readUsers(r) {
  const at = r.position;
  const count = r.u16('count');
  if (count > Limits.CALL_IDS) throw new CodecError('more than 100 ids', at);
  return Array.from({ length: count }, () => readId(r, 'user'));
}

/** @param {Writer} w @param {string[]} users */
function writeUsers(w, users) {
  if (users.length > Limits.CALL_IDS) throw new RangeError('more than 100 ids');
  writeCounted(w, users, writeId);
}

/** The users that the body of a membership image lists. @param {Uint8Array} body */
export function decodeUsers(body) {
  return decode(body, readUsers);
}

/** @param {string[]} users */
export function encodeUsers(users) {
  return encode((w) => writeUsers(w, users));
}

/** The fields of GROUP_CREATE, GROUP_ADD and GROUP_REMOVE. @param {Uint8Array} fields */
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

/** The fields of GROUP_MEMBERS; `after` is the last id of the page before, or ''. @param {Uint8Array} fields */
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
function readMore(r) {
  const at = r.position;
  const more = r.u8('more');
  if (more > 1) throw new CodecError('more', at);
  return more === 1;
}

/** The answer of GROUP_MEMBERS, ascending by id. @param {Uint8Array} fields @returns {{ members: Member[], more: boolean }} */
export function decodeMembersPage(fields) {
  return decode(fields, (r) => ({
    members: readCounted(r, () => ({ user: readId(r, 'user'), role: r.u8('role') })),
    more: readMore(r),
  }));
}

/** @param {Member[]} members @param {boolean} more */
export function encodeMembersPage(members, more) {
  return encode((w) => {
    writeCounted(w, members, (_, { user, role }) => {
      writeId(w, user);
      w.u8(role);
    });
    w.u8(more ? 1 : 0);
  });
}

/** The fields of READ. @param {Uint8Array} fields */
export function decodeRead(fields) {
  return decode(fields, (r) => ({ channel: readSharedChannel(r), seq: r.u64('seq') }));
}

/** @param {import('./image.js').Channel} channel @param {number} seq */
export function encodeRead(channel, seq) {
  return encode((w) => {
    writeChannel(w, channel);
    w.u64(seq);
  });
}
