// @ts-check
// The golden vectors, as protocol/vectors/README.md says what they are.

import { readFileSync } from 'node:fs';

const FOLDER = new URL('../../../protocol/vectors/', import.meta.url);

/** A file of vectors. @param {string} name */
export function vectors(name) {
  return JSON.parse(readFileSync(new URL(`${name}.json`, FOLDER), 'utf8'));
}

/** The bytes of a vector. @param {string} text */
export function bytesOf(text) {
  const groups = text.split(' ').filter(Boolean).map((group) => {
    const [hex, times] = group.split('*');
    const once = Uint8Array.from(hex.match(/../g) ?? [], (two) => parseInt(two, 16));
    return times === undefined ? once : new Uint8Array(Number(times)).fill(once[0]);
  });
  return new Uint8Array(Buffer.concat(groups));
}

/** @param {Uint8Array} bytes */
export function hexOf(bytes) {
  return Buffer.from(bytes).toString('hex');
}
