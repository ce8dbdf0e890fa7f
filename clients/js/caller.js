// @ts-check
// What the areas of the client need of it.

/**
 * @typedef {import('./image.js').Channel} Channel
 * @typedef {import('./image.js').Image} Image
 * @typedef {{ seq: number, timeMs: number }} Done
 * @typedef {object} Caller
 * @property {string} user whose client it is
 * @property {(channel: Channel, method: number, fields: Uint8Array, tlvs?: import('./image.js').TlvField[]) => Promise<Done>} change carries out a CALL once; a refusal throws
 * @property {(method: number, fields: Uint8Array) => Promise<Uint8Array>} ask a CALL that changes nothing; a refusal throws
 * @property {(channel: Channel, change: (stream: import('./stream.js').Stream) => void) => void} alter a known conversation
 * @property {(name: string, detail: unknown) => void} emit tells the app
 * @property {() => void} relist something changed that only LIST tells
 * @property {(channel: Channel, items: import('./codec.js').SyncItem[]) => ({ image: Image } | { gap: { from: number, to: number, why: number } })[]} told
 *   takes images with what is said of them
 */

/**
 * All of a list that comes in pages.
 * @template T
 * @param {(after: string) => Promise<{ items: T[], more: boolean }>} page `after` is the key of the last one, '' at first
 * @param {(item: T) => string} key
 */
export async function pages(page, key) {
  /** @type {T[]} */
  const all = [];
  for (let after = '', more = true; more;) {
    const { items, more: goesOn } = await page(after);
    all.push(...items);
    more = goesOn && items.length > 0;
    const last = items.at(-1);
    if (last !== undefined) after = key(last);
  }
  return all;
}
