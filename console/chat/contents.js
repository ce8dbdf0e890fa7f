// @ts-check
// What a message has that is no text: pictures, sounds, files, places, people. They are told in words, with a link where
// there is one; nothing is loaded by itself.

import { tlvText } from './client/codec.js';
import { Tlv } from './client/registry.js';

/** @typedef {{ line: string, url: string, text: string }} Thing `line` says what it is, `url` where, `text` what is said with it */

const TYPE = /^application\/vnd\.postrider\.(image|voice|video|file|location|card)\+json$/;

/** What the body is, or null when it is text or of a type that is not known. @param {Uint8Array} body @param {import('./client/image.js').TlvField[]} tlvs @returns {Thing | null} */
export function thingOf(body, tlvs) {
  const what = TYPE.exec(tlvText(tlvs, Tlv.CONTENT_TYPE))?.[1];
  if (what === undefined) return null;
  try {
    return told(what, JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body)));
  } catch {
    return null;
  }
}

/** @param {string} what @param {Record<string, unknown>} it @returns {Thing} */
function told(what, it) {
  const words = (/** @type {string} */ name) => (typeof it[name] === 'string' ? String(it[name]).slice(0, 200) : '');
  const number = (/** @type {string} */ name) => (Number.isFinite(it[name]) ? Number(it[name]) : null);
  const size = number('size');
  const facts = [size === null ? '' : sizeText(size), lengthText(number('duration_ms'))].filter((fact) => fact !== '').join(', ');
  const more = facts === '' ? '' : ` (${facts})`;
  if (what === 'location') {
    const [latitude, longitude] = [number('latitude'), number('longitude')];
    if (latitude === null || longitude === null) throw new TypeError('a place has two numbers');
    const at = `${latitude.toFixed(5)}, ${longitude.toFixed(5)}`;
    return { line: `📍 ${words('name') || 'Place'}: ${at}`, url: `geo:${latitude},${longitude}`, text: words('address') };
  }
  if (what === 'card') return { line: `👤 ${words('name') || words('user')} (user:${words('user')})`, url: '', text: '' };
  const line = { image: '🖼 Picture', voice: '🎤 Voice message', video: '🎬 Video', file: `📄 ${words('name') || 'File'}` }[what] ?? '';
  return { line: line + more, url: safe(it.url), text: words('text') };
}

/** An address that may be opened; '' for any other. @param {unknown} url */
function safe(url) {
  try {
    const parsed = new URL(String(url));
    return parsed.protocol === 'https:' ? parsed.href : '';
  } catch {
    return '';
  }
}

/** @param {number} bytes */
function sizeText(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  return bytes < 1e6 ? `${Math.round(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** @param {number | null} ms */
function lengthText(ms) {
  if (ms === null) return '';
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}
