// @ts-check
// The dialog that makes a new group.

import { isId } from './client/codec.js';
import { JoinMode } from './client/fields-groups.js';
import { closable, tell } from './dialogs.js';
import { byId } from './dom.js';

/** The ids in a text; throws for what is none. @param {string} text */
export function idsIn(text) {
  const ids = text.split(/[\s,]+/).filter((id) => id !== '');
  const bad = ids.find((id) => !isId(id));
  if (bad !== undefined) throw new Error(`“${bad}” is not an id: letters, digits and . _ ~ : @ + = -`);
  return ids;
}

/** @param {import('./client/client.js').PostriderClient} client @param {(address: string) => void} open */
export function setUpNewGroup(client, open) {
  const dialog = byId('group-dialog', HTMLDialogElement);
  const form = byId('group-form', HTMLFormElement);
  const id = byId('group-id', HTMLInputElement);
  const name = byId('group-name', HTMLInputElement);
  const users = byId('group-users', HTMLInputElement);
  const mode = byId('group-mode', HTMLSelectElement);
  const create = /** @type {HTMLButtonElement} */ (form.querySelector('[type=submit]'));
  closable(dialog);
  byId('new-group', HTMLButtonElement).addEventListener('click', () => {
    form.reset();
    mode.value = String(JoinMode.INVITED);
    byId('group-error', HTMLElement).hidden = true;
    dialog.showModal();
  });
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    create.disabled = true;
    const isMade = await tell(byId('group-error', HTMLElement), async () => {
      const [group] = idsIn(id.value);
      const settings = { ...(name.value.trim() === '' ? {} : { name: name.value.trim() }), joinMode: Number(mode.value) };
      await client.groups.create(group, idsIn(users.value), settings);
    });
    create.disabled = false;
    if (!isMade) return;
    dialog.close();
    open(`group:${id.value.trim()}`);
  });
}
