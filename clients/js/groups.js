// @ts-check
// What a client does with groups. Changes resolve with `{ seq, timeMs }` when they are durable, and throw `Refused`.

import { pages } from './caller.js';
import {
  decodeGroupInfo, decodeMembersPage, decodeRequestsPage, encodeGroup, encodeGroupAnswer, encodeGroupChange, encodeGroupCreate,
  encodeGroupJoin, encodeGroupMute, encodeGroupNickname, encodeGroupRoles, encodeGroupSettings, encodeGroupTransfer,
  encodeMembersQuery,
} from './fields-groups.js';
import { groupChannel, textTlv, tlvText, tlvU32, u32Tlv } from './image.js';
import { Method, Tlv } from './registry.js';

/**
 * @typedef {object} GroupSettings '' removes a text
 * @property {string} [name]
 * @property {string} [avatar]
 * @property {string} [announcement]
 * @property {string} [description]
 * @property {string} [custom]
 * @property {number} [joinMode] one of `JoinMode`
 * @property {boolean} [history] whether new members see what was before them
 * @property {number} [maxMembers] 0: as many as the server allows
 * @typedef {Required<GroupSettings> & Omit<import('./fields-groups.js').GroupInfo, 'tlvs'>} Group
 */

export class Groups {
  #caller;

  /** @param {import('./caller.js').Caller} caller */
  constructor(caller) {
    this.#caller = caller;
  }

  /** Creates a group with this user as its owner. @param {string} group @param {string[]} users @param {GroupSettings} [settings] */
  create(group, users, settings = {}) {
    return this.#change(Method.GROUP_CREATE, group, encodeGroupCreate(group, users, tlvsOf(settings)));
  }

  /** @param {string} group @param {string[]} users */
  add(group, users) {
    return this.#change(Method.GROUP_ADD, group, encodeGroupChange(group, users));
  }

  /** Removes members; who is not the owner may remove themselves. @param {string} group @param {string[]} users */
  remove(group, users) {
    return this.#change(Method.GROUP_REMOVE, group, encodeGroupChange(group, users));
  }

  /** This user leaves. @param {string} group */
  leave(group) {
    return this.remove(group, [this.#caller.user]);
  }

  /** Ends the group: it can be read and not changed any more. @param {string} group */
  dismiss(group) {
    return this.#change(Method.GROUP_DISMISS, group, encodeGroup(group));
  }

  /** @param {string} group @param {GroupSettings} settings those that change */
  set(group, settings) {
    return this.#change(Method.GROUP_CHANGE, group, encodeGroupSettings(group, tlvsOf(settings)));
  }

  /** @param {string} group @param {number} role `GroupRole.ADMIN` or `.MEMBER` @param {string[]} users */
  setRole(group, role, users) {
    return this.#change(Method.GROUP_ROLES, group, encodeGroupRoles(group, role, users));
  }

  /** Makes another member the owner. @param {string} group @param {string} user */
  transfer(group, user) {
    return this.#change(Method.GROUP_TRANSFER, group, encodeGroupTransfer(group, user));
  }

  /** @param {string} group @param {number} untilMs 0 ends it @param {string[]} users none: everybody */
  mute(group, untilMs, users) {
    return this.#change(Method.GROUP_MUTE, group, encodeGroupMute(group, untilMs, users));
  }

  /** Joins, or asks to. @param {string} group @param {string} [text] for who decides */
  join(group, text = '') {
    return this.#change(Method.GROUP_JOIN, group, encodeGroupJoin(group, text));
  }

  /** @param {string} group @param {string[]} users */
  invite(group, users) {
    return this.#change(Method.GROUP_INVITE, group, encodeGroupChange(group, users));
  }

  /** Lets in who asked, or ends what waits. @param {string} group @param {boolean} accept @param {string[]} users */
  answer(group, accept, users) {
    return this.#change(Method.GROUP_ANSWER, group, encodeGroupAnswer(group, accept, users));
  }

  /** What this user is called in the group; '' ends it. @param {string} group @param {string} nickname */
  setNickname(group, nickname) {
    return this.#change(Method.GROUP_NICKNAME, group, encodeGroupNickname(group, nickname));
  }

  /** What the group is, and what this user is in it. @param {string} group @returns {Promise<Group>} */
  async info(group) {
    const { tlvs, ...info } = decodeGroupInfo(await this.#caller.ask(Method.GROUP_INFO, encodeGroup(group)));
    return { ...info, ...settingsOf(tlvs) };
  }

  /** All members, ascending. @param {string} group */
  members(group) {
    return pages(async (after) => {
      const { members, more } = decodeMembersPage(await this.#caller.ask(Method.GROUP_MEMBERS, encodeMembersQuery(group, after)));
      return { items: members, more };
    }, ({ user }) => user);
  }

  /** Who asks to join and who is invited, ascending; for owner and admins. @param {string} group */
  requests(group) {
    return pages(async (after) => {
      const { waiting, more } = decodeRequestsPage(await this.#caller.ask(Method.GROUP_REQUESTS, encodeMembersQuery(group, after)));
      return { items: waiting, more };
    }, ({ user }) => user);
  }

  /** @param {number} method @param {string} group @param {Uint8Array} fields */
  #change(method, group, fields) {
    return this.#caller.change(groupChannel(group), method, fields);
  }
}

/** Settings as TLVs, tags ascending. @param {GroupSettings} settings */
function tlvsOf({ name, avatar, announcement, description, custom, joinMode, history, maxMembers }) {
  /** @type {[number, string | undefined][]} */
  const texts = [
    [Tlv.NAME, name], [Tlv.AVATAR, avatar], [Tlv.ANNOUNCEMENT, announcement], [Tlv.DESCRIPTION, description], [Tlv.CUSTOM, custom],
  ];
  const tlvs = texts.flatMap(([tag, text]) => (text === undefined ? [] : [textTlv(tag, text)]));
  if (joinMode !== undefined) tlvs.push(u32Tlv(Tlv.JOIN_MODE, joinMode));
  if (history !== undefined) tlvs.push(u32Tlv(Tlv.HISTORY, history ? 1 : 0));
  if (maxMembers !== undefined) tlvs.push(u32Tlv(Tlv.MAX_MEMBERS, maxMembers));
  return tlvs;
}

/** @param {import('./image.js').TlvField[]} tlvs @returns {Required<GroupSettings>} */
export function settingsOf(tlvs) {
  return {
    name: tlvText(tlvs, Tlv.NAME),
    avatar: tlvText(tlvs, Tlv.AVATAR),
    announcement: tlvText(tlvs, Tlv.ANNOUNCEMENT),
    description: tlvText(tlvs, Tlv.DESCRIPTION),
    custom: tlvText(tlvs, Tlv.CUSTOM),
    joinMode: tlvU32(tlvs, Tlv.JOIN_MODE) ?? 0,
    history: tlvU32(tlvs, Tlv.HISTORY) === 1,
    maxMembers: tlvU32(tlvs, Tlv.MAX_MEMBERS) ?? 0,
  };
}
