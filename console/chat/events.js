// @ts-check
// What events say: images that are no messages, as lines in the conversation.

import {
  CodecError, authorOf, decodeMembersMuted, decodeOwnerChanged, decodeRolesChanged, decodeUsers, tlvText, tlvU32,
} from './client/codec.js';
import { decodeSwitch } from './client/made.js';
import { ImageKind, Tlv } from './client/registry.js';

/**
 * @typedef {import('./client/image.js').Image} Image
 * @typedef {(user: string) => string} NameOf
 */

/** What an event says; null for a message and for what is shown at its message. @param {Image} image @param {string} me @param {NameOf} nameOf */
export function eventText(image, me, nameOf) {
  try {
    return textOfEvent(image, new Names(me, nameOf));
  } catch (error) {
    if (error instanceof CodecError) return 'Something that this page cannot show';
    throw error;
  }
}

class Names {
  #me;
  #nameOf;

  /** @param {string} me @param {NameOf} nameOf */
  constructor(me, nameOf) {
    this.#me = me;
    this.#nameOf = nameOf;
  }

  /** At the beginning of a sentence. @param {string} user */
  first(user) {
    return user === this.#me ? 'You' : this.#nameOf(user);
  }

  /** @param {string} user */
  inside(user) {
    return user === this.#me ? 'you' : this.#nameOf(user);
  }

  /** @param {string[]} users */
  list(users) {
    const names = users.map((user) => this.inside(user));
    return names.length > 1 ? `${names.slice(0, -1).join(', ')} and ${names.at(-1)}` : names.join('');
  }
}

/** @param {Image} image @param {Names} names */
function textOfEvent(image, names) {
  const { kind, body } = image;
  const author = authorOf(image);
  const who = names.first(author);
  switch (kind) {
    case ImageKind.PINNED:
      return decodeSwitch(body).isOn ? `${who} pinned a message` : null;
    case ImageKind.GROUP_CREATED: {
      const users = decodeUsers(body).filter((user) => user !== author);
      return users.length === 0 ? `${who} created the group` : `${who} created the group with ${names.list(users)}`;
    }
    case ImageKind.MEMBERS_JOINED: {
      const users = decodeUsers(body);
      return users.length === 1 && users[0] === author ? `${who} joined` : `${who} added ${names.list(users)}`;
    }
    case ImageKind.MEMBERS_LEFT:
      return `${who} left`;
    case ImageKind.MEMBERS_REMOVED:
      return `${who} removed ${names.list(decodeUsers(body))}`;
    case ImageKind.GROUP_DISMISSED:
      return `${who} ended the group`;
    case ImageKind.GROUP_CHANGED:
      return changeText(image, who);
    case ImageKind.ROLES_CHANGED: {
      const { role, users } = decodeRolesChanged(body);
      if (role === 1) return `${who} made ${names.list(users)} ${users.length === 1 ? 'an admin' : 'admins'}`;
      return `${who} ended that ${names.list(users)} ${users.length === 1 ? 'is an admin' : 'are admins'}`;
    }
    case ImageKind.MEMBERS_MUTED: {
      const { untilMs, users } = decodeMembersMuted(body);
      if (users.length === 0) return untilMs > 0 ? `${who} let only admins write` : `${who} let everybody write again`;
      return untilMs > 0 ? `${who} muted ${names.list(users)}` : `${who} let ${names.list(users)} write again`;
    }
    case ImageKind.OWNER_CHANGED:
      return `${who} made ${names.inside(decodeOwnerChanged(body).user)} the owner`;
    case ImageKind.NICKNAME_CHANGED: {
      const nickname = new TextDecoder().decode(body);
      return nickname === '' ? `${who} gave up the nickname` : `${who} took the nickname “${nickname}”`;
    }
    default:
      return null;
  }
}

/** @param {Image} image @param {string} who */
function changeText({ tlvs }, who) {
  const name = tlvText(tlvs, Tlv.NAME);
  if (name !== '') return `${who} named the group “${name}”`;
  const announcement = tlvText(tlvs, Tlv.ANNOUNCEMENT);
  if (announcement !== '') return `${who} announced: ${announcement}`;
  const mode = tlvU32(tlvs, Tlv.JOIN_MODE);
  if (mode !== null) return `${who} set who may join: ${['everybody', 'who is approved', 'who is invited'][mode] ?? ''}`;
  const history = tlvU32(tlvs, Tlv.HISTORY);
  if (history !== null) return history === 1 ? `${who} let new members see what was before` : `${who} keeps what was before from new members`;
  return `${who} changed the group`;
}
