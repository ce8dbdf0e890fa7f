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

/** The round sign of a user or a group. @param {HTMLElement} node @param {string} address */
export function dressAvatar(node, address) {
  const id = address.slice(address.indexOf(':') + 1);
  let mixed = 0;
  for (const char of address) mixed = Math.imul(mixed ^ (char.codePointAt(0) ?? 0), 0x01000193);
  node.className = `avatar hue-${(mixed >>> 13) % 8}${address.startsWith('group:') ? ' is-group' : ''}`;
  node.textContent = id.slice(0, 1).toUpperCase();
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
