// @ts-check
// What the page knows of users and groups beside their messages: names, members, what a group allows. Asked for once and
// again when an event says that it changed; until the answer is there, ids stand for names.

import { channelKey } from './client/codec.js';
import { GroupRole } from './client/fields-groups.js';
import { ImageKind } from './client/registry.js';

/**
 * @typedef {import('./client/client.js').PostriderClient} PostriderClient
 * @typedef {import('./client/groups.js').Group} Group
 * @typedef {import('./client/fields-groups.js').Member} Member
 * @typedef {import('./client/image.js').Channel} Channel
 */

const SOON_MS = 150;
/** Of groups up to this all members are asked for. */
const ASKED_MEMBERS = 1000;

export class Facts {
  #client;
  #changed;
  /** @type {Map<string, string>} names of users; '' while it is asked for and for who has none */
  #names = new Map();
  /** @type {Set<string>} users whose names are to be asked for */
  #due = new Set();
  /** @type {Map<string, Group | null>} null: not to be known */
  #groups = new Map();
  /** @type {Map<string, Member[]>} */
  #members = new Map();
  /** @type {Set<string>} groups whose members may be others now */
  #stale = new Set();
  /** @type {Set<string>} groups that are being asked for */
  #asked = new Set();

  /** @param {PostriderClient} client @param {() => void} changed called when something has become known */
  constructor(client, changed) {
    this.#client = client;
    this.#changed = changed;
  }

  /** What `user` is called. @param {string} user */
  nameOf(user) {
    const name = this.#names.get(user);
    if (name !== undefined) return name === '' ? user : name;
    this.#names.set(user, '');
    this.#due.add(user);
    if (this.#due.size === 1) queueMicrotask(() => this.#askNames());
    return user;
  }

  /** What the other side of `address` is called. @param {string} address `user:ID` or `group:ID` */
  titleOf(address) {
    const id = address.slice(address.indexOf(':') + 1);
    if (address.startsWith('group:')) return this.#client.conversation(this.#client.channel(address))?.name || this.#groups.get(id)?.name || id;
    return id === this.#client.user ? 'Notes to self' : this.nameOf(id);
  }

  /** What is known of a group; null while nothing is. @param {string} id */
  group(id) {
    const group = this.#groups.get(id);
    if (group === undefined) this.refreshGroup(id);
    return group ?? null;
  }

  /** The members of a group, as far as they are known; asked for when it is not too big. @param {string} id */
  membersOf(id) {
    const members = this.#members.get(id);
    const isStale = members === undefined || this.#stale.has(id);
    if (isStale && (this.group(id)?.members ?? Infinity) <= ASKED_MEMBERS) {
      this.#members.set(id, members ?? []);
      this.#stale.delete(id);
      this.#ask(async () => {
        this.#members.set(id, await this.#client.groups.members(id));
      });
    }
    return members ?? [];
  }

  /** What a member is called in a group, as far as its members are known. @param {string} id @param {string} user */
  nicknameOf(id, user) {
    return this.#members.get(id)?.find((member) => member.user === user)?.nickname || this.nameOf(user);
  }

  /** Whether this user is owner or admin of a group. @param {string} id */
  isAdmin(id) {
    const role = this.group(id)?.role ?? GroupRole.NONE;
    return role === GroupRole.ADMIN || role === GroupRole.OWNER;
  }

  /** Asks anew what a group is. @param {string} id */
  refreshGroup(id) {
    if (!this.#groups.has(id)) this.#groups.set(id, null);
    this.#stale.add(id);
    if (this.#asked.has(id)) return;
    this.#asked.add(id);
    // Soon, so that a burst of events is one question.
    setTimeout(() => this.#ask(async () => {
      this.#asked.delete(id);
      this.#groups.set(id, await this.#client.groups.info(id));
    }), this.#groups.get(id) == null ? 0 : SOON_MS);
  }

  /** Asks anew what `user` is called. @param {string} user */
  refreshName(user) {
    this.#names.delete(user);
    this.nameOf(user);
  }

  /** What an image of a group changes. @param {Channel} channel @param {import('./client/image.js').Image} image */
  see(channel, image) {
    if (channel.kind !== 2 || image.kind < ImageKind.GROUP_CREATED) return;
    if (this.#groups.has(channel.ids[0])) this.refreshGroup(channel.ids[0]);
  }

  /** A new connection may have other answers. */
  connected() {
    for (const [id, group] of this.#groups) if (group === null) this.refreshGroup(id);
  }

  async #askNames() {
    const users = [...this.#due];
    this.#due.clear();
    await this.#ask(async () => {
      for (const { user, name } of await this.#client.people.profiles(users)) this.#names.set(user, name);
    });
  }

  /** What is refused stays unknown. @param {() => Promise<void>} work */
  async #ask(work) {
    try {
      await work();
    } catch {
      return;
    }
    this.#changed();
  }
}

/** The id of the other one of a person channel, or of a group. @param {string} address */
export function idOf(address) {
  return address.slice(address.indexOf(':') + 1);
}

/** Whether two channels are one. @param {Channel} one @param {Channel} other */
export function isSame(one, other) {
  return channelKey(one) === channelKey(other);
}
