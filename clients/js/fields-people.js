// @ts-check
// Fields of the methods about users: profiles, devices, blocks, contacts, presence, quotas.

import { decode, encode, readBool, readPage, readText16, readUsers, writeBool, writePage, writeText16, writeUsers } from './fields.js';
import { readChannel, readId, readOptionalId, readTlvs, writeChannel, writeId, writeOptionalId, writeTlvs } from './image.js';
import { Limits } from './registry.js';
import { CodecError, Reader, Writer, readCounted, writeCounted } from './wire.js';

/**
 * @typedef {import('./image.js').TlvField} TlvField
 * @typedef {import('./image.js').Channel} Channel
 * @typedef {{ user: string, fields: TlvField[] }} Profile
 * @typedef {{ device: string, firstMs: number, lastMs: number, isOnline: boolean, isThis: boolean, fields: TlvField[] }} Device
 * @typedef {{ user: string, state: number, text: string }} Contact state 1 asked by the user, 2 asks the user, 3 a contact
 * @typedef {{ user: string, state: number, lastSeenMs: number, platforms: string[] }} Presence state as in `PresenceState`
 * @typedef {{ used: number, most: number }} Used `most` 0: any number
 * @typedef {{ scope: number, minute: Used, day: Used, month: Used }} ScopeUsage scope 1 the user, 2 the channel, 3 the connection
 */

/** Whether a user is online. */
export const PresenceState = Object.freeze({ OFFLINE: 0, ONLINE: 1, UNKNOWN: 2 });

/** What a user is to another one. */
export const ContactState = Object.freeze({ NONE: 0, ASKED: 1, ASKING: 2, CONTACT: 3 });

const PLATFORMS = 16;

/** A byte below `end`. @param {Reader} r @param {number} end @param {string} what */
export function readBelow(r, end, what) {
  const at = r.position;
  const value = r.u8(what);
  if (value >= end) throw new CodecError(what, at);
  return value;
}

/** @param {Reader} r @returns {TlvField[]} */
function readFields(r) {
  return readTlvs(new Reader(r.bytes16(0xffff, 'fields')));
}

/** @param {Writer} w @param {TlvField[]} fields */
function writeFields(w, fields) {
  const tlvs = new Writer();
  writeTlvs(tlvs, fields);
  w.bytes16(tlvs.finish());
}

/** One user: the fields of CONTACT_REMOVE. @param {Uint8Array} fields */
export function decodeUser(fields) {
  return decode(fields, (r) => ({ user: readId(r, 'user') }));
}

/** @param {string} user */
export function encodeUser(user) {
  return encode((w) => writeId(w, user));
}

/** An id or none: the fields of DEVICE_REMOVE, BLOCKED and CONTACTS. @param {Uint8Array} fields */
export function decodeOptional(fields) {
  return decode(fields, (r) => ({ id: readOptionalId(r, 'id') }));
}

/** @param {string} id */
export function encodeOptional(id) {
  return encode((w) => writeOptionalId(w, id));
}

/** The fields of BLOCK and CONTACT_ANSWER. @param {Uint8Array} fields */
export function decodeUserSwitch(fields) {
  return decode(fields, (r) => ({ user: readId(r, 'user'), is: readBool(r, 'is') }));
}

/** @param {string} user @param {boolean} is */
export function encodeUserSwitch(user, is) {
  return encode((w) => {
    writeId(w, user);
    writeBool(w, is);
  });
}

/** The fields of CONTACT_ASK and CONTACT_NOTE. @param {Uint8Array} fields @param {number} max bytes of the text */
export function decodeUserText(fields, max) {
  return decode(fields, (r) => ({ user: readId(r, 'user'), text: readText16(r, max, 'text') }));
}

/** @param {string} user @param {string} text @param {number} max bytes of the text */
export function encodeUserText(user, text, max) {
  return encode((w) => {
    writeId(w, user);
    writeText16(w, text, max, 'text');
  });
}

/** The answer of PROFILES. @param {Uint8Array} fields @returns {{ profiles: Profile[] }} */
export function decodeProfiles(fields) {
  return decode(fields, (r) => ({ profiles: readCounted(r, () => ({ user: readId(r, 'user'), fields: readFields(r) })) }));
}

/** @param {Profile[]} profiles */
export function encodeProfiles(profiles) {
  return encode((w) => writeCounted(w, profiles, (_, { user, fields }) => {
    writeId(w, user);
    writeFields(w, fields);
  }));
}

/** The answer of DEVICES. @param {Uint8Array} fields @returns {{ devices: Device[] }} */
export function decodeDevices(fields) {
  return decode(fields, (r) => ({
    devices: readCounted(r, () => ({
      device: readId(r, 'device'),
      firstMs: r.u64('first'),
      lastMs: r.u64('last'),
      isOnline: readBool(r, 'is online'),
      isThis: readBool(r, 'is this'),
      fields: readFields(r),
    })),
  }));
}

/** @param {Device[]} devices */
export function encodeDevices(devices) {
  return encode((w) => writeCounted(w, devices, (_, device) => {
    writeId(w, device.device);
    w.u64(device.firstMs);
    w.u64(device.lastMs);
    writeBool(w, device.isOnline);
    writeBool(w, device.isThis);
    writeFields(w, device.fields);
  }));
}

/** The answer of BLOCKED. @param {Uint8Array} fields */
export function decodeBlockedPage(fields) {
  return decode(fields, (r) => {
    const { items, more } = readPage(r, () => readId(r, 'user'));
    return { users: items, more };
  });
}

/** @param {string[]} users @param {boolean} more */
export function encodeBlockedPage(users, more) {
  return encode((w) => writePage(w, users, more, writeId));
}

/** The answer of CONTACTS. @param {Uint8Array} fields @returns {{ contacts: Contact[], more: boolean }} */
export function decodeContactsPage(fields) {
  return decode(fields, (r) => {
    const { items, more } = readPage(r, () => {
      const user = readId(r, 'user');
      const at = r.position;
      const state = r.u8('state');
      if (state < 1 || state > 3) throw new CodecError('state of a contact', at);
      return { user, state, text: readText16(r, Limits.REQUEST_TEXT_BYTES, 'text') };
    });
    return { contacts: items, more };
  });
}

/** @param {Contact[]} contacts @param {boolean} more */
export function encodeContactsPage(contacts, more) {
  return encode((w) => writePage(w, contacts, more, (_, { user, state, text }) => {
    writeId(w, user);
    w.u8(state);
    writeText16(w, text, Limits.REQUEST_TEXT_BYTES, 'text');
  }));
}

/** @param {Reader} r @returns {Presence[]} */
export function readPresences(r) {
  const at = r.position;
  const text = new TextDecoder();
  const presences = readCounted(r, () => ({
    user: readId(r, 'user'),
    state: readBelow(r, 3, 'state'),
    lastSeenMs: r.u64('last_seen_ms'),
    platforms: Array.from({ length: readBelow(r, PLATFORMS + 1, 'platforms') }, () => text.decode(r.bytes8('platform'))),
  }));
  if (presences.length > Limits.CALL_IDS) throw new CodecError('more than 100 users', at);
  return presences;
}

/** @param {Writer} w @param {Presence[]} presences */
export function writePresences(w, presences) {
  const utf8 = new TextEncoder();
  writeCounted(w, presences, (_, { user, state, lastSeenMs, platforms }) => {
    writeId(w, user);
    w.u8(state);
    w.u64(lastSeenMs);
    w.u8(platforms.length);
    for (const platform of platforms) w.bytes8(utf8.encode(platform));
  });
}

/** The answer of PRESENCE. @param {Uint8Array} fields */
export function decodePresences(fields) {
  return decode(fields, (r) => ({ users: readPresences(r) }));
}

/** @param {Presence[]} presences */
export function encodePresences(presences) {
  return encode((w) => writePresences(w, presences));
}

/** The fields of PROFILES and PRESENCE. @param {Uint8Array} fields */
export function decodeUserList(fields) {
  return decode(fields, (r) => ({ users: readUsers(r) }));
}

/** @param {string[]} users */
export function encodeUserList(users) {
  return encode((w) => writeUsers(w, users));
}

/** The fields of WATCH; null for no channel. @param {Uint8Array} fields @returns {{ channel: Channel | null }} */
export function decodeWatch(fields) {
  return decode(fields, (r) => ({ channel: readBool(r, 'on') ? readShared(r) : null }));
}

/** @param {Reader} r */
function readShared(r) {
  const at = r.position;
  const channel = readChannel(r);
  if (channel.kind > 2) throw new CodecError('channel kind', at);
  return channel;
}

/** @param {Channel | null} channel */
export function encodeWatch(channel) {
  return encode((w) => {
    writeBool(w, channel !== null);
    if (channel !== null) writeChannel(w, channel);
  });
}

/** The fields of USAGE; null for no channel. @param {Uint8Array} fields @returns {{ channel: Channel | null }} */
export function decodeUsageQuery(fields) {
  return fields.length === 0 ? { channel: null } : decode(fields, (r) => ({ channel: readShared(r) }));
}

/** @param {Channel | null} channel */
export function encodeUsageQuery(channel) {
  return encode((w) => {
    if (channel !== null) writeChannel(w, channel);
  });
}

/** The answer of USAGE. @param {Uint8Array} fields @returns {{ scopes: ScopeUsage[] }} */
export function decodeUsage(fields) {
  return decode(fields, (r) => {
    const used = () => ({ used: r.u64('used'), most: r.u64('most') });
    const scopes = Array.from({ length: r.u8('count') }, () => {
      const at = r.position;
      const scope = r.u8('scope');
      if (scope < 1 || scope > 3) throw new CodecError('scope', at);
      return { scope, minute: used(), day: used(), month: used() };
    });
    return { scopes };
  });
}

/** @param {ScopeUsage[]} scopes */
export function encodeUsage(scopes) {
  return encode((w) => {
    w.u8(scopes.length);
    for (const { scope, minute, day, month } of scopes) {
      w.u8(scope);
      for (const { used, most } of [minute, day, month]) {
        w.u64(used);
        w.u64(most);
      }
    }
  });
}
