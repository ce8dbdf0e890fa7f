// @ts-check
// The panel of a group: what it is, who is in it, who wants to be, how it is set.

import { GroupRole, GroupWaiting, JoinMode } from './client/fields-groups.js';
import { PresenceState } from './client/fields-people.js';
import { FOR_EVER } from './client/stream.js';
import { ask, closable, tell, toggle } from './dialogs.js';
import { avatarOf, byId, icon, iconButton, make, makeButton } from './dom.js';
import { idsIn } from './groups.js';
import { openMenu } from './menu.js';

/**
 * @typedef {import('./client/client.js').PostriderClient} PostriderClient
 * @typedef {import('./client/fields-groups.js').Member} Member
 * @typedef {import('./client/fields-groups.js').Waiting} Waiting
 * @typedef {import('./client/groups.js').Group} Group
 */

const HOUR_MS = 3_600_000;
/** So many members show; the others are found by the filter. */
const SHOWN = 100;
const ROLES = ['', 'admin', 'owner'];
const MODES = ['Everybody', 'Who is approved', 'Who is invited'];

export class GroupPanel {
  #client;
  #facts;
  #dialog = byId('panel', HTMLDialogElement);
  #body = byId('panel-body', HTMLElement);
  #error = byId('panel-error', HTMLElement);
  #id = '';
  /** @type {Group | null} */
  #group = null;
  /** @type {Member[]} */
  #members = [];
  /** @type {Waiting[]} */
  #waiting = [];
  #filter = '';

  /** @param {PostriderClient} client @param {import('./facts.js').Facts} facts */
  constructor(client, facts) {
    this.#client = client;
    this.#facts = facts;
    closable(this.#dialog);
  }

  /** @param {string} id */
  async open(id) {
    [this.#id, this.#group, this.#members, this.#waiting, this.#filter] = [id, null, [], [], ''];
    this.#body.replaceChildren();
    this.#error.hidden = true;
    byId('panel-title', HTMLElement).textContent = this.#facts.titleOf(`group:${id}`);
    this.#dialog.showModal();
    await this.refresh();
  }

  /** The group may be another now. @param {string} [id] which; without, the one that shows */
  async refresh(id = this.#id) {
    if (!this.#dialog.open || id !== this.#id) return;
    await tell(this.#error, async () => {
      const [group, members] = await Promise.all([this.#client.groups.info(id), this.#client.groups.members(id)]);
      const isAdmin = group.role === GroupRole.OWNER || group.role === GroupRole.ADMIN;
      this.#waiting = isAdmin && !this.#isDismissed ? await this.#client.groups.requests(id).catch(() => []) : [];
      [this.#group, this.#members] = [group, members];
    });
    if (id === this.#id) this.#render();
  }

  get #isDismissed() {
    return this.#client.conversation(this.#client.channel(`group:${this.#id}`))?.dismissed ?? false;
  }

  #render() {
    const group = this.#group;
    if (group === null) return;
    const name = group.name || this.#id;
    byId('panel-title', HTMLElement).textContent = name;
    const isAdmin = group.role !== GroupRole.MEMBER && !this.#isDismissed;
    const scrolled = this.#body.scrollTop;
    this.#body.replaceChildren(
      this.#renderHead(group, name, isAdmin),
      ...(isAdmin && this.#waiting.length > 0 ? [this.#renderWaiting()] : []),
      this.#renderMembers(group, isAdmin),
      ...(isAdmin ? [this.#renderSettings(group)] : []),
      ...(this.#isDismissed ? [] : [this.#renderNickname(), this.#renderEnd(group)]),
    );
    this.#body.scrollTop = scrolled;
  }

  /** @param {Group} group @param {string} name @param {boolean} isAdmin */
  #renderHead(group, name, isAdmin) {
    const big = avatarOf(`group:${this.#id}`, name);
    big.classList.add('is-big');
    const count = group.members === 1 ? '1 member' : `${group.members.toLocaleString()} members`;
    const section = make('section', 'panel-head', big, make('p', 'panel-name', name), make('p', 'panel-sub', `group:${this.#id} · ${count}`));
    if (!isAdmin) {
      if (group.announcement !== '') section.append(make('p', 'announcement', group.announcement));
      if (group.description !== '') section.append(make('p', 'panel-text', group.description));
      return section;
    }
    section.append(
      this.#field('Name', group.name, 128, (text) => this.#client.groups.set(this.#id, { name: text })),
      this.#field('Announcement', group.announcement, 1024, (text) => this.#client.groups.set(this.#id, { announcement: text })),
      this.#field('Description', group.description, 512, (text) => this.#client.groups.set(this.#id, { description: text })),
    );
    return section;
  }

  /** @param {string} label @param {string} value @param {number} max @param {(text: string) => Promise<unknown>} save */
  #field(label, value, max, save) {
    const input = make('input', '');
    input.type = 'text';
    input.value = value;
    input.maxLength = max;
    input.placeholder = 'None';
    const button = make('button', 'plain', 'Save');
    button.hidden = true;
    input.addEventListener('input', () => {
      button.hidden = input.value.trim() === value;
    });
    const form = make('form', 'field', make('label', '', label, input), button);
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      if (input.value.trim() !== value) this.#do(() => save(input.value.trim()));
    });
    return form;
  }

  #renderWaiting() {
    const rows = this.#waiting.map(({ user, what, by, text }) => {
      const isInvited = what === GroupWaiting.INVITED;
      const sub = isInvited ? `invited by ${this.#facts.nameOf(by)}` : text || 'asks to join';
      const row = this.#person(user, this.#facts.nameOf(user), sub);
      if (isInvited) row.append(makeButton('plain', 'Withdraw', () => this.#answer(user, false)));
      else row.append(makeButton('primary', 'Accept', () => this.#answer(user, true)), makeButton('plain', 'Refuse', () => this.#answer(user, false)));
      return row;
    });
    return make('section', 'panel-section', make('h3', '', 'Waiting'), make('ul', '', ...rows));
  }

  /** @param {string} user @param {boolean} accept */
  #answer(user, accept) {
    this.#do(() => this.#client.groups.answer(this.#id, accept, [user]));
  }

  /** @param {Group} group @param {boolean} isAdmin */
  #renderMembers(group, isAdmin) {
    const section = make('section', 'panel-section', make('h3', '', 'Members'));
    if (!this.#isDismissed && (isAdmin || group.joinMode === JoinMode.OPEN)) section.append(this.#renderAdd(isAdmin));
    const list = make('ul', '');
    const show = () => {
      const wanted = this.#filter.toLowerCase();
      const found = this.#members.filter(({ user, nickname }) => `${user} ${nickname} ${this.#facts.nameOf(user)}`.toLowerCase().includes(wanted));
      const sorted = found.sort((a, b) => b.role - a.role || (a.user < b.user ? -1 : 1));
      const rows = sorted.slice(0, SHOWN).map((member) => this.#memberRow(member, group));
      if (sorted.length > SHOWN) rows.push(make('li', 'panel-sub', `and ${sorted.length - SHOWN} more`));
      list.replaceChildren(...rows);
    };
    if (this.#members.length > 12) {
      const input = make('input', 'filter');
      input.type = 'search';
      input.placeholder = 'Find a member';
      input.setAttribute('aria-label', 'Find a member');
      input.value = this.#filter;
      input.addEventListener('input', () => {
        this.#filter = input.value;
        show();
      });
      section.append(input);
    }
    show();
    section.append(list);
    return section;
  }

  /** @param {boolean} isAdmin */
  #renderAdd(isAdmin) {
    const input = make('input', '');
    input.type = 'text';
    input.required = true;
    input.placeholder = 'User ids';
    input.autocapitalize = 'none';
    input.spellcheck = false;
    input.setAttribute('aria-label', 'Add members');
    const form = make('form', 'start', input, make('button', 'plain', 'Add'));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#do(() => this.#client.groups.add(this.#id, idsIn(input.value)));
    });
    if (isAdmin) form.append(makeButton('plain', 'Invite', () => this.#do(() => this.#client.groups.invite(this.#id, idsIn(input.value)))));
    return form;
  }

  /** @param {string} user @param {string} name @param {string} sub */
  #person(user, name, sub) {
    const isOnline = this.#client.live.presenceOf(user).state === PresenceState.ONLINE;
    const face = make('span', isOnline ? 'face is-online' : 'face', avatarOf(`user:${user}`, name));
    const words = make('span', 'member-words', make('span', 'member-name', name));
    if (sub !== '') words.append(make('span', 'member-sub', sub));
    return make('li', 'member', face, words);
  }

  /** @param {Member} member @param {Group} group */
  #memberRow(member, group) {
    const { user, role, nickname, mutedUntilMs } = member;
    const isMe = user === this.#client.user;
    const name = nickname || this.#facts.nameOf(user);
    const isMuted = mutedUntilMs > Date.now();
    const sub = [name === user ? '' : user, isMuted ? 'muted' : ''].filter((part) => part !== '').join(' · ');
    const row = this.#person(user, isMe ? `${name} (you)` : name, sub);
    if (ROLES[role]) row.append(make('span', 'member-role', ROLES[role]));
    const items = isMe || this.#isDismissed ? [] : this.#memberMenu(member, group, name, isMuted);
    if (items.length > 0) {
      const more = iconButton('more', `More about ${name}`, () => openMenu(more, items, name));
      row.append(more);
    }
    return row;
  }

  /** @param {Member} member @param {Group} group @param {string} name @param {boolean} isMuted @returns {import('./menu.js').MenuItem[]} */
  #memberMenu({ user, role }, group, name, isMuted) {
    const { groups } = this.#client;
    /** @type {import('./menu.js').MenuItem[]} */
    const items = [{
      icon: 'unread', text: 'Write to them', act: () => {
        this.#dialog.close();
        location.hash = `user:${user}`;
      },
    }];
    if (group.role === GroupRole.NONE || group.role <= role) return items;
    if (group.role === GroupRole.OWNER) {
      const isAdmin = role === GroupRole.ADMIN;
      const next = isAdmin ? GroupRole.MEMBER : GroupRole.ADMIN;
      items.push({ icon: 'star', text: isAdmin ? 'End being admin' : 'Make admin', act: () => this.#do(() => groups.setRole(this.#id, next, [user])) });
      items.push({ icon: 'people', text: 'Make owner…', act: () => this.#askTransfer(user, name) });
    }
    const until = Date.now() + HOUR_MS;
    items.push(isMuted
      ? { icon: 'bell', text: 'Let them write', act: () => this.#do(() => groups.mute(this.#id, 0, [user])) }
      : { icon: 'mute', text: 'Mute for an hour', act: () => this.#do(() => groups.mute(this.#id, until, [user])) });
    items.push({ icon: 'leave', text: 'Remove', isDangerous: true, act: () => this.#do(() => groups.remove(this.#id, [user])) });
    return items;
  }

  /** @param {string} user @param {string} name */
  #askTransfer(user, name) {
    ask(`Make ${name} the owner?`, 'You become an admin.', [
      { text: 'Make owner', act: () => this.#do(() => this.#client.groups.transfer(this.#id, user)) },
    ]);
  }

  /** @param {Group} group */
  #renderSettings(group) {
    const { groups } = this.#client;
    const select = make('select', '', ...MODES.map((text, mode) => new Option(text, String(mode), false, mode === group.joinMode)));
    select.addEventListener('change', () => this.#do(() => groups.set(this.#id, { joinMode: Number(select.value) })));
    const isMuted = group.allMutedUntilMs > Date.now();
    return make('section', 'panel-section', make('h3', '', 'Settings'),
      make('label', 'toggle', make('span', 'toggle-words', 'Who may join'), select),
      toggle('New members see what was before', '', group.history, (history) => this.#do(() => groups.set(this.#id, { history }))),
      toggle('Only admins may write', '', isMuted, (isOn) => this.#do(() => groups.mute(this.#id, isOn ? FOR_EVER : 0, []))));
  }

  #renderNickname() {
    const mine = this.#members.find(({ user }) => user === this.#client.user)?.nickname ?? '';
    return make('section', 'panel-section', make('h3', '', 'You'),
      this.#field('Your nickname here', mine, 64, (text) => this.#client.groups.setNickname(this.#id, text)));
  }

  /** @param {Group} group */
  #renderEnd(group) {
    const isOwner = group.role === GroupRole.OWNER;
    const button = make('button', 'panel-action is-dangerous', icon(isOwner ? 'trash' : 'leave', 18), isOwner ? 'End the group' : 'Leave the group');
    button.type = 'button';
    button.addEventListener('click', () => {
      if (isOwner) {
        ask('End the group for everybody?', 'Everybody can still read it; nobody can write any more.', [
          { text: 'End the group', isDangerous: true, act: () => this.#do(() => this.#client.groups.dismiss(this.#id)) },
        ]);
      } else {
        ask('Leave the group?', 'You keep what you have; new messages do not come.', [
          { text: 'Leave', isDangerous: true, act: () => this.#leave() },
        ]);
      }
    });
    return make('section', 'panel-section', button);
  }

  async #leave() {
    if (await tell(this.#error, () => this.#client.groups.leave(this.#id))) this.#dialog.close();
  }

  /** @param {() => Promise<unknown>} work */
  async #do(work) {
    if (await tell(this.#error, work)) {
      this.#facts.refreshGroup(this.#id);
      await this.refresh();
    } else {
      this.#render();
    }
  }
}
