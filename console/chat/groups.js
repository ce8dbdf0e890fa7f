// @ts-check
// The two dialogs about groups: a new one, and who is in one.

import { Refused } from './client/client.js';
import { isId } from './client/codec.js';
import { byId, dressAvatar, make, makeButton } from './dom.js';
import { why } from './words.js';

/** @typedef {import('./client/client.js').PostriderClient} PostriderClient */

const OWNER = 2;

/** @param {unknown} error */
function said(error) {
  const text = error instanceof Refused ? why(error.reason) : String(error instanceof Error ? error.message : error);
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}.`;
}

/** Runs `work`, saying in `error` what went wrong; true when nothing did. @param {HTMLElement} error @param {() => Promise<unknown>} work */
async function tell(error, work) {
  error.hidden = true;
  try {
    await work();
    return true;
  } catch (thrown) {
    error.textContent = said(thrown);
    error.hidden = false;
    return false;
  }
}

/** @param {HTMLDialogElement} dialog */
function closable(dialog) {
  for (const button of dialog.querySelectorAll('[data-close]')) button.addEventListener('click', () => dialog.close());
}

/** @param {PostriderClient} client @param {(address: string) => void} open */
export function setUpNewGroup(client, open) {
  const dialog = byId('group-dialog', HTMLDialogElement);
  const form = byId('group-form', HTMLFormElement);
  const id = byId('group-id', HTMLInputElement);
  const users = byId('group-users', HTMLInputElement);
  const error = byId('group-error', HTMLElement);
  const create = /** @type {HTMLButtonElement} */ (form.querySelector('[type=submit]'));
  closable(dialog);
  byId('new-group', HTMLButtonElement).addEventListener('click', () => {
    form.reset();
    error.hidden = true;
    dialog.showModal();
  });
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const group = id.value.trim();
    const members = users.value.split(/[\s,]+/).filter((user) => user !== '');
    create.disabled = true;
    const isMade = await tell(error, () => {
      const bad = [group, ...members].find((text) => !isId(text));
      if (bad !== undefined) return Promise.reject(new Error(`“${bad}” is not an id: letters, digits and . _ ~ : @ + = -`));
      return client.createGroup(group, members);
    });
    create.disabled = false;
    if (!isMade) return;
    dialog.close();
    open(`group:${group}`);
  });
}

/** @param {PostriderClient} client @returns {(group: string) => Promise<void>} shows the members of a group */
export function setUpMembers(client) {
  const dialog = byId('members-dialog', HTMLDialogElement);
  const list = byId('members-list', HTMLElement);
  const error = byId('members-error', HTMLElement);
  const user = byId('add-user', HTMLInputElement);
  let group = '';
  closable(dialog);

  const show = () => tell(error, async () => {
    const members = await client.members(group);
    const isOwner = members.some((member) => member.user === client.user && member.role === OWNER);
    list.replaceChildren(...members.map((member) => memberRow(member, isOwner)));
  });

  /** @param {import('./client/methods.js').Member} member @param {boolean} isOwner whether this user owns the group */
  function memberRow(member, isOwner) {
    const avatar = make('span', '');
    avatar.setAttribute('aria-hidden', 'true');
    dressAvatar(avatar, `user:${member.user}`);
    const isMe = member.user === client.user;
    const row = make('li', 'member', avatar, make('span', 'member-name', isMe ? `${member.user} (you)` : member.user));
    if (member.role === OWNER) row.append(make('span', 'member-role', 'owner'));
    else if (isMe) row.append(makeButton('plain', 'Leave', () => remove(member.user)));
    else if (isOwner) row.append(makeButton('plain', 'Remove', () => remove(member.user)));
    return row;
  }

  /** @param {string} member */
  async function remove(member) {
    if (!(await tell(error, () => client.removeMembers(group, [member])))) return;
    if (member === client.user) dialog.close();
    else await show();
  }

  byId('add-form', HTMLFormElement).addEventListener('submit', async (event) => {
    event.preventDefault();
    if (!(await tell(error, async () => client.addMembers(group, [user.value.trim()])))) return;
    user.value = '';
    await show();
  });

  return async (id) => {
    group = id;
    list.replaceChildren();
    user.value = '';
    byId('members-title', HTMLElement).textContent = `Members of ${id}`;
    dialog.showModal();
    await show();
  };
}
