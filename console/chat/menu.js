// @ts-check
// Menus: a list of things to do, or a grid of signs, at a button. One is open at a time; Escape, Tab and a click elsewhere
// close it, and the focus goes back to where it was. Where its button scrolls to, it follows, and ends when that is out of
// view: a conversation scrolls by itself whenever a message comes, and may not take a menu from under the finger.

import { icon, make } from './dom.js';

/**
 * @typedef {{ icon: string, text: string, act: () => void, isDangerous?: boolean }} MenuItem `icon` is a name of dom.js
 */

const GAP_PX = 6;

/** @type {{ node: HTMLElement, close: () => void } | null} */
let open = null;

/** Opens a menu at `anchor`. @param {HTMLElement} anchor @param {MenuItem[]} items @param {string} label for screen readers */
export function openMenu(anchor, items, label) {
  const buttons = items.map(({ icon: name, text, act, isDangerous }) => choice(
    isDangerous ? 'menu-item is-dangerous' : 'menu-item', [icon(name, 18), make('span', '', text)], text, act,
  ));
  show(anchor, make('div', 'menu', ...buttons), label, 1);
}

/** Opens a grid of signs at `anchor`. @param {HTMLElement} anchor @param {string[]} signs @param {string} label @param {(sign: string) => void} pick */
export function openSigns(anchor, signs, label, pick) {
  const buttons = signs.map((sign) => choice('sign', [sign], sign, () => pick(sign)));
  show(anchor, make('div', 'menu signs', ...buttons), label, 8);
}

/** Closes what is open. */
export function closeMenu() {
  open?.close();
}

/** @param {string} className @param {(string | Node)[]} children @param {string} label @param {() => void} act */
function choice(className, children, label, act) {
  const button = make('button', className, ...children);
  button.type = 'button';
  button.tabIndex = -1;
  button.setAttribute('role', 'menuitem');
  button.setAttribute('aria-label', label);
  button.addEventListener('click', () => {
    closeMenu();
    act();
  });
  return button;
}

/** @param {HTMLElement} anchor @param {HTMLElement} node @param {string} label @param {number} columns */
function show(anchor, node, label, columns) {
  const wasOpen = open?.node.dataset.label === label && anchor.getAttribute('aria-expanded') === 'true';
  closeMenu();
  if (wasOpen) return;
  node.setAttribute('role', 'menu');
  node.setAttribute('aria-label', label);
  node.dataset.label = label;
  (anchor.closest('dialog') ?? document.body).append(node);
  anchor.setAttribute('aria-expanded', 'true');
  place(anchor, node);
  const ended = new AbortController();
  const close = () => {
    open = null;
    ended.abort();
    anchor.removeAttribute('aria-expanded');
    if (node.contains(document.activeElement)) anchor.focus({ preventScroll: true });
    node.remove();
  };
  open = { node, close };
  const whileOpen = { capture: true, signal: ended.signal };
  document.addEventListener('pointerdown', ({ target }) => {
    if (!(target instanceof Node && (node.contains(target) || anchor.contains(target)))) close();
  }, whileOpen);
  document.addEventListener('scroll', ({ target }) => {
    if (!(target instanceof Node && target.contains(anchor))) return;
    if (isInView(anchor, target)) place(anchor, node);
    else close();
  }, whileOpen);
  window.addEventListener('resize', () => place(anchor, node), whileOpen);
  node.addEventListener('keydown', (event) => key(event, node, columns));
  /** @type {HTMLElement | null} */ (node.querySelector('[role=menuitem]'))?.focus({ preventScroll: true });
}

/** Whether what scrolls, an element or the page, leaves anything of `anchor` to see. @param {HTMLElement} anchor @param {Node} scroller */
function isInView(anchor, scroller) {
  const { top, bottom } = anchor.getBoundingClientRect();
  const frame = scroller instanceof Element ? scroller.getBoundingClientRect() : { top: 0, bottom: innerHeight };
  return bottom > frame.top && top < frame.bottom;
}

/** Below the anchor, or above it when there is no room; never over an edge. @param {HTMLElement} anchor @param {HTMLElement} node */
function place(anchor, node) {
  const at = anchor.getBoundingClientRect();
  const { width, height } = node.getBoundingClientRect();
  const below = at.bottom + GAP_PX;
  const top = below + height > innerHeight - GAP_PX ? Math.max(GAP_PX, at.top - GAP_PX - height) : below;
  const left = Math.min(Math.max(GAP_PX, at.right - width), innerWidth - width - GAP_PX);
  node.style.top = `${top}px`;
  node.style.left = `${Math.max(GAP_PX, left)}px`;
}

/** @param {KeyboardEvent} event @param {HTMLElement} node @param {number} columns */
function key(event, node, columns) {
  const items = /** @type {HTMLElement[]} */ ([...node.querySelectorAll('[role=menuitem]')]);
  const at = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  /** @type {Record<string, number>} */
  const moves = { ArrowDown: at + columns, ArrowUp: at - columns, ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: items.length - 1 };
  if (event.key === 'Escape' || event.key === 'Tab') {
    event.preventDefault();
    event.stopPropagation();
    closeMenu();
  } else if (event.key in moves) {
    event.preventDefault();
    items[(moves[event.key] + items.length) % items.length]?.focus();
  }
}
