// @ts-check
// What a client does about people: profiles, contacts, blocks, devices, quotas. Changes resolve with `{ seq, timeMs }`
// when they are durable, and throw `Refused`.

import { pages } from './caller.js';
import {
  decodeBlockedPage, decodeContactsPage, decodeDevices, decodeProfiles, decodeUsage, encodeOptional, encodeUsageQuery, encodeUser,
  encodeUserList, encodeUserSwitch, encodeUserText,
} from './fields-people.js';
import { ChannelKind, personChannel, textTlv, tlvText, tlvU32, u32Tlv } from './image.js';
import { Limits, Method, Tlv } from './registry.js';

/**
 * @typedef {object} ProfileSettings '' removes a text
 * @property {string} [name]
 * @property {string} [avatar]
 * @property {string} [description]
 * @property {string} [custom]
 * @property {boolean} [receiptsPrivate] others do not learn what this user has read, nor this user of others
 * @property {boolean} [presencePrivate] others do not learn whether this user is online, nor this user of others
 * @property {boolean} [contactsOnly] only contacts may write to this user
 * @typedef {{ user: string } & Required<ProfileSettings>} Profile settings of others are not told: false
 */

const NOTHING = new Uint8Array(0);

export class People {
  #caller;

  /** @param {import('./caller.js').Caller} caller */
  constructor(caller) {
    this.#caller = caller;
  }

  /** @param {ProfileSettings} settings those that change */
  setProfile(settings) {
    return this.#caller.change(this.#self, Method.PROFILE_SET, NOTHING, tlvsOf(settings));
  }

  /** What users say of themselves. @param {string[]} users @returns {Promise<Profile[]>} */
  async profiles(users) {
    /** @type {Profile[]} */
    const all = [];
    while (all.length < users.length) {
      const asked = users.slice(all.length, all.length + Limits.CALL_IDS);
      const { profiles } = decodeProfiles(await this.#caller.ask(Method.PROFILES, encodeUserList(asked)));
      if (profiles.length === 0) break;
      all.push(...profiles.map(({ user, fields }) => profileOf(user, fields)));
    }
    return all;
  }

  /** Blocks a user, or ends that: the two cannot write to each other. @param {string} user @param {boolean} isOn */
  async block(user, isOn) {
    const channel = personChannel(this.#caller.user, user);
    await this.#caller.change(channel, Method.BLOCK, encodeUserSwitch(user, isOn));
    this.#caller.alter(channel, (stream) => stream.block(isOn));
    this.#caller.relist();
  }

  /** Whom this user blocks, ascending. */
  blocked() {
    return pages(async (after) => {
      const { users, more } = decodeBlockedPage(await this.#caller.ask(Method.BLOCKED, encodeOptional(after)));
      return { items: users, more };
    }, (user) => user);
  }

  /** Asks a user to become a contact. @param {string} user @param {string} [text] */
  askContact(user, text = '') {
    return this.#relate(user, Method.CONTACT_ASK, encodeUserText(user, text, Limits.REQUEST_TEXT_BYTES));
  }

  /** @param {string} user who asked @param {boolean} accept */
  answerContact(user, accept) {
    return this.#relate(user, Method.CONTACT_ANSWER, encodeUserSwitch(user, accept));
  }

  /** Ends a contact, or takes back what this user asked. @param {string} user */
  removeContact(user) {
    return this.#relate(user, Method.CONTACT_REMOVE, encodeUser(user));
  }

  /** What this user calls a contact; '' ends it. @param {string} user @param {string} note */
  noteContact(user, note) {
    return this.#relate(user, Method.CONTACT_NOTE, encodeUserText(user, note, Limits.NAME_BYTES));
  }

  /** Contacts and who waits to become one, ascending. */
  contacts() {
    return pages(async (after) => {
      const { contacts, more } = decodeContactsPage(await this.#caller.ask(Method.CONTACTS, encodeOptional(after)));
      return { items: contacts, more };
    }, ({ user }) => user);
  }

  /** This user's devices. */
  async devices() {
    const { devices } = decodeDevices(await this.#caller.ask(Method.DEVICES, NOTHING));
    return devices.map(({ fields, ...device }) => ({
      ...device,
      platform: tlvText(fields, Tlv.PLATFORM),
      appVersion: tlvText(fields, Tlv.APP_VERSION),
      language: tlvText(fields, Tlv.LANGUAGE),
      timeZone: tlvText(fields, Tlv.TIME_ZONE),
    }));
  }

  /** Removes a device: it is let in again with a newer token only. @param {string} device '' for all but this one */
  removeDevice(device) {
    return this.#caller.change(this.#self, Method.DEVICE_REMOVE, encodeOptional(device));
  }

  /** What was used of limits. @param {import('./image.js').Channel | null} [channel] whose limits are asked for too */
  async usage(channel = null) {
    return decodeUsage(await this.#caller.ask(Method.USAGE, encodeUsageQuery(channel))).scopes;
  }

  /** This user's own channel, which is never on the wire. */
  get #self() {
    return { kind: ChannelKind.USER, ids: [this.#caller.user] };
  }

  /** @param {string} user @param {number} method @param {Uint8Array} fields */
  #relate(user, method, fields) {
    return this.#caller.change(personChannel(this.#caller.user, user), method, fields);
  }
}

/** Settings as TLVs, tags ascending. @param {ProfileSettings} settings */
function tlvsOf({ name, avatar, description, custom, receiptsPrivate, presencePrivate, contactsOnly }) {
  /** @type {[number, string | undefined][]} */
  const texts = [[Tlv.NAME, name], [Tlv.AVATAR, avatar], [Tlv.DESCRIPTION, description], [Tlv.CUSTOM, custom]];
  /** @type {[number, boolean | undefined][]} */
  const flags = [
    [Tlv.RECEIPTS_PRIVATE, receiptsPrivate], [Tlv.PRESENCE_PRIVATE, presencePrivate], [Tlv.CONTACTS_ONLY, contactsOnly],
  ];
  return [
    ...texts.flatMap(([tag, text]) => (text === undefined ? [] : [textTlv(tag, text)])),
    ...flags.flatMap(([tag, flag]) => (flag === undefined ? [] : [u32Tlv(tag, flag ? 1 : 0)])),
  ];
}

/** @param {string} user @param {import('./image.js').TlvField[]} fields @returns {Profile} */
function profileOf(user, fields) {
  return {
    user,
    name: tlvText(fields, Tlv.NAME),
    avatar: tlvText(fields, Tlv.AVATAR),
    description: tlvText(fields, Tlv.DESCRIPTION),
    custom: tlvText(fields, Tlv.CUSTOM),
    receiptsPrivate: tlvU32(fields, Tlv.RECEIPTS_PRIVATE) === 1,
    presencePrivate: tlvU32(fields, Tlv.PRESENCE_PRIVATE) === 1,
    contactsOnly: tlvU32(fields, Tlv.CONTACTS_ONLY) === 1,
  };
}
