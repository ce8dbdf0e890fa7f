// @ts-check
// The few things that the page does with the DOM. Text goes in as text, never as markup.

/**
 * The element of index.html with this id.
 * @template {typeof HTMLElement} T
 * @param {string} id
 * @param {T} type
 * @returns {InstanceType<T>}
 */
export function byId(id, type) {
  const node = document.getElementById(id);
  if (!(node instanceof type)) throw new Error(`#${id} is missing from the page`);
  return /** @type {InstanceType<T>} */ (node);
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {string} className
 * @param {...(string | Node)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className !== '') node.className = className;
  node.append(...children);
  return node;
}

/** @param {string} className @param {string} text @param {() => void} act */
export function makeButton(className, text, act) {
  const button = make('button', className, text);
  button.type = 'button';
  button.addEventListener('click', act);
  return button;
}

/** The round sign of a user or a group. @param {HTMLElement} node @param {string} address @param {string} [name] whose first letter it shows */
export function dressAvatar(node, address, name = address.slice(address.indexOf(':') + 1)) {
  let mixed = 0;
  for (const char of address) mixed = Math.imul(mixed ^ (char.codePointAt(0) ?? 0), 0x01000193);
  node.className = `avatar hue-${(mixed >>> 13) % 8}${address.startsWith('group:') ? ' is-group' : ''}`;
  node.textContent = [...name][0]?.toUpperCase() ?? '';
}

/**
 * @typedef {{ key: string, look: string, build: () => HTMLElement }} Row `look` tells when a row has to be built anew
 */

/** Keeps the children of one list equal to rows, touching only what changed. */
export class Rows {
  #parent;
  /** @type {Map<string, { look: string, node: HTMLElement }>} */
  #built = new Map();

  /** @param {HTMLElement} parent */
  constructor(parent) {
    this.#parent = parent;
  }

  /** @param {Row[]} rows */
  show(rows) {
    const wanted = new Set(rows.map(({ key }) => key));
    for (const [key, { node }] of this.#built) {
      if (wanted.has(key)) continue;
      node.remove();
      this.#built.delete(key);
    }
    let place = this.#parent.firstElementChild;
    for (const { key, look, build } of rows) {
      const built = this.#built.get(key);
      if (built !== undefined && built.look === look) {
        if (built.node === place) place = place.nextElementSibling;
        else this.#parent.insertBefore(built.node, place);
        continue;
      }
      const node = build();
      if (built === undefined) {
        this.#parent.insertBefore(node, place);
      } else {
        if (built.node === place) place = place.nextElementSibling;
        built.node.replaceWith(node);
        this.#parent.insertBefore(node, place);
      }
      this.#built.set(key, { look, node });
    }
  }
}

const SVG = 'http://www.w3.org/2000/svg';

/** @type {Record<string, string>} drawn in 24 × 24 by lines */
const ICONS = {
  more: 'M6 12h.01M12 12h.01M18 12h.01',
  reply: 'M9 7l-5 5 5 5M4 12h9a7 7 0 0 1 7 7',
  thread: 'M6 4v11a4 4 0 0 0 4 4h9M15 15l4 4-4 4M11 8h8',
  clock: 'M12 3a9 9 0 1 0 .01 0M12 7v5l3 3',
  smile: 'M12 3a9 9 0 1 0 .01 0M8.5 14.5a4.5 4.5 0 0 0 7 0M9 9.5h.01M15 9.5h.01',
  pin: 'M9 4h6l-1 6 3 4H7l3-4zM12 14v6',
  edit: 'M4 20h4L19 9l-4-4L4 16z',
  trash: 'M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13',
  copy: 'M9 9h11v11H9zM15 9V4H4v11h5',
  info: 'M12 3a9 9 0 1 0 .01 0M12 11v5M12 8h.01',
  close: 'M6 6l12 12M18 6L6 18',
  mute: 'M4 9v6h4l5 4V5L8 9zM17 9l4 6M21 9l-4 6',
  bell: 'M6 16V11a6 6 0 0 1 12 0v5l2 2H4zM10 21h4',
  eye: 'M2 12s4-7 10-7 10 7 10 7-4 7-10 7S2 12 2 12zM12 9a3 3 0 1 0 .01 0',
  hide: 'M4 7h16v13H4zM3 4h18v3H3zM10 12h4',
  unread: 'M4 5h16v11H9l-5 4z',
  block: 'M12 3a9 9 0 1 0 .01 0M6 6l12 12',
  people: 'M9 5a3.5 3.5 0 1 0 .01 0M2.5 20a6.5 6.5 0 0 1 13 0M16 5.5a3.2 3.2 0 0 1 0 6M18 14.5a6 6 0 0 1 3.5 5.5',
  person: 'M12 4a4 4 0 1 0 .01 0M4.5 20.5a7.5 7.5 0 0 1 15 0',
  device: 'M4 5h16v11H4zM9 20h6',
  plus: 'M12 5v14M5 12h14',
  leave: 'M10 4H5v16h5M15 8l4 4-4 4M19 12H9',
  star: 'M12 4l2.5 5.2 5.5.8-4 4 1 5.6-5-2.7-5 2.7 1-5.6-4-4 5.5-.8z',
  down: 'M6 9l6 6 6-6',
};

/** @param {string} name of `ICONS` @param {number} [size] */
export function icon(name, size = 20) {
  const svg = document.createElementNS(SVG, 'svg');
  for (const [key, value] of [['viewBox', '0 0 24 24'], ['width', size], ['height', size], ['aria-hidden', 'true']]) {
    svg.setAttribute(String(key), String(value));
  }
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}

/** A round button with a picture. @param {string} name of `ICONS` @param {string} label @param {(event: MouseEvent) => void} act */
export function iconButton(name, label, act) {
  const button = make('button', name === 'more' ? 'tool is-dots' : 'tool', icon(name));
  button.type = 'button';
  button.title = label;
  button.setAttribute('aria-label', label);
  button.addEventListener('click', act);
  return button;
}

/** The round sign of an address, not read out. @param {string} address @param {string} [name] */
export function avatarOf(address, name) {
  const avatar = make('span', '');
  avatar.setAttribute('aria-hidden', 'true');
  dressAvatar(avatar, address, name);
  return avatar;
}

/** Says something once, in a corner and to screen readers. @param {string} text */
export function toast(text) {
  const node = byId('toast', HTMLElement);
  node.textContent = text;
  node.hidden = false;
  clearTimeout(Number(node.dataset.timer));
  node.dataset.timer = String(setTimeout(() => {
    node.hidden = true;
    node.textContent = '';
  }, 4000));
}
