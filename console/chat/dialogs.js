// @ts-check
// What all dialogs do: close, say what went wrong, ask whether one is sure.

import { Refused } from './client/client.js';
import { byId, make, makeButton } from './dom.js';
import { why } from './words.js';

/** What went wrong, as a sentence. @param {unknown} error */
export function said(error) {
  const text = error instanceof Refused ? why(error.reason) : String(error instanceof Error ? error.message : error);
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}.`;
}

/** Runs `work`, saying in `error` what went wrong; true when nothing did. @param {HTMLElement} error @param {() => Promise<unknown>} work */
export async function tell(error, work) {
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

/** The buttons marked so close `dialog`, and so does a click beside it. @param {HTMLDialogElement} dialog */
export function closable(dialog) {
  for (const button of dialog.querySelectorAll('[data-close]')) button.addEventListener('click', () => dialog.close());
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close();
  });
}

/**
 * Asks what to do.
 * @param {string} title @param {string} text
 * @param {{ text: string, isDangerous?: boolean, act: () => void }[]} choices beside “Cancel”
 */
export function ask(title, text, choices) {
  const dialog = byId('ask-dialog', HTMLDialogElement);
  byId('ask-title', HTMLElement).textContent = title;
  byId('ask-text', HTMLElement).textContent = text;
  byId('ask-text', HTMLElement).hidden = text === '';
  const isAnyDangerous = choices.some(({ isDangerous }) => isDangerous);
  const classOf = (isDangerous = false) => (isDangerous ? 'primary is-dangerous' : isAnyDangerous ? 'plain' : 'primary');
  const buttons = choices.map(({ text: label, isDangerous, act }) => makeButton(classOf(isDangerous), label, () => {
    dialog.close();
    act();
  }));
  byId('ask-choices', HTMLElement).replaceChildren(...buttons, makeButton('plain', 'Cancel', () => dialog.close()));
  dialog.showModal();
}

/** A switch with words. @param {string} text @param {string} hint @param {boolean} isOn @param {(isOn: boolean) => void} change */
export function toggle(text, hint, isOn, change) {
  const input = make('input', 'switch');
  input.type = 'checkbox';
  input.setAttribute('role', 'switch');
  input.checked = isOn;
  input.addEventListener('change', () => change(input.checked));
  const words = make('span', 'toggle-words', text);
  if (hint !== '') words.append(make('small', '', hint));
  return make('label', 'toggle', words, input);
}
