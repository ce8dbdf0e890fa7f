// @ts-check
// The head of the open conversation: who it is, whether they are there, and why one may not write.

import { GroupRole, JoinMode } from './client/fields-groups.js';
import { PresenceState } from './client/fields-people.js';
import { byId, dressAvatar, make, makeButton } from './dom.js';
import { said } from './dialogs.js';
import { idOf } from './facts.js';
import { dots } from './list.js';
import { lastSeen } from './words.js';

/**
 * @typedef {import('./client/client.js').PostriderClient} PostriderClient
 * @typedef {import('./client/stream.js').Stream} Stream
 */

export class Head {
  #client;
  #facts;
  #compose = byId('compose', HTMLElement);
  #closed = byId('closed', HTMLElement);
  /** What was asked or done last in the bar below; shows until the conversation changes. */
  #trouble = '';
  #shown = '';

  /** @param {PostriderClient} client @param {import('./facts.js').Facts} facts */
  constructor(client, facts) {
    this.#client = client;
    this.#facts = facts;
  }

  /** Shows who it is; true when one may write. @param {import('./client/image.js').Channel} channel */
  render(channel) {
    const address = this.#client.address(channel);
    const conversation = this.#client.conversation(channel);
    const title = this.#facts.titleOf(address);
    const presence = this.#presence(address);
    if (address !== this.#shown) [this.#shown, this.#trouble] = [address, ''];
    byId('title', HTMLElement).textContent = title;
    dressAvatar(byId('title-avatar', HTMLElement), address, title);
    byId('title-face', HTMLElement).classList.toggle('is-online', presence?.state === PresenceState.ONLINE);
    this.#renderSubtitle(address, channel, presence);
    const why = this.#whyClosed(address, conversation);
    this.#compose.hidden = why !== null;
    this.#closed.hidden = why === null;
    const look = JSON.stringify([address, why?.text, why?.action, this.#trouble]);
    if (why !== null && this.#closed.dataset.look !== look) {
      this.#closed.dataset.look = look;
      const button = why.action === '' ? [] : [makeButton('primary', why.action, () => this.#join(channel.ids[0]))];
      const trouble = this.#trouble === '' ? [] : [make('span', 'error', this.#trouble)];
      this.#closed.replaceChildren(make('span', '', why.text), ...button, ...trouble);
    }
    return why === null;
  }

  /** @param {string} address */
  #presence(address) {
    if (address.startsWith('group:') || idOf(address) === this.#client.user) return null;
    return this.#client.live.presenceOf(idOf(address));
  }

  /** @param {string} address @param {import('./client/image.js').Channel} channel @param {import('./client/fields-people.js').Presence | null} presence */
  #renderSubtitle(address, channel, presence) {
    const node = byId('subtitle', HTMLElement);
    const writers = this.#client.live.typingIn(channel);
    if (writers.length > 0) {
      const isGroup = channel.kind === 2;
      const names = writers.slice(0, 2).map((user) => this.#facts.nicknameOf(channel.ids[0], user)).join(' and ');
      const text = !isGroup ? 'writing' : writers.length > 2 ? 'several are writing' : `${names} ${writers.length > 1 ? 'are' : 'is'} writing`;
      node.replaceChildren(make('span', 'is-typing', text, dots()));
      return;
    }
    node.textContent = this.#words(address, presence);
  }

  /** @param {string} address @param {import('./client/fields-people.js').Presence | null} presence */
  #words(address, presence) {
    if (address.startsWith('group:')) {
      const members = this.#facts.group(idOf(address))?.members ?? 0;
      return members === 0 ? address : members === 1 ? '1 member' : `${members.toLocaleString()} members`;
    }
    if (presence?.state === PresenceState.ONLINE) return 'online';
    if (presence?.state === PresenceState.OFFLINE && presence.lastSeenMs > 0) return lastSeen(presence.lastSeenMs);
    return presence?.state === PresenceState.OFFLINE ? 'offline' : address;
  }

  /** @param {string} address @param {Stream | null} conversation @returns {{ text: string, action: string } | null} null when one may write */
  #whyClosed(address, conversation) {
    if (conversation?.dismissed) return { text: 'This group was ended.', action: '' };
    if (conversation?.invited) return { text: 'You are invited to this group.', action: 'Join' };
    if (conversation?.asked) return { text: 'You asked to join. The admins decide.', action: '' };
    if (conversation?.blocked) return { text: 'You blocked this user.', action: '' };
    if (!address.startsWith('group:')) return null;
    const group = this.#facts.group(idOf(address));
    if (conversation?.left) return { text: 'You are not a member of this group any more.', action: group?.joinMode === JoinMode.OPEN ? 'Join again' : '' };
    if (conversation === null && group !== null && group.role === GroupRole.NONE) {
      return group.joinMode === JoinMode.OPEN
        ? { text: 'Everybody may join this group.', action: 'Join' }
        : { text: 'The admins of this group decide who joins.', action: 'Ask to join' };
    }
    const isPlain = group?.role === GroupRole.MEMBER;
    if (isPlain && group.allMutedUntilMs > Date.now()) return { text: 'Only admins may write here now.', action: '' };
    if (isPlain && group.mutedUntilMs > Date.now()) return { text: 'You may not write here now.', action: '' };
    return null;
  }

  /** @param {string} group */
  async #join(group) {
    try {
      await this.#client.groups.join(group);
      this.#trouble = '';
    } catch (error) {
      this.#trouble = said(error);
    }
    this.#facts.refreshGroup(group);
    this.#client.refresh();
  }
}
