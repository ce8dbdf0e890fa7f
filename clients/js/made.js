// @ts-check
// What later entries made of the messages of one channel: edits, a revocation, reactions, a pin. SYNC tells it as of its
// head, live entries tell what came since; they may come in any order, also before the message that they are about.

import { authorOf, tlvBytes, tlvU32, tlvU64 } from './image.js';
import { ImageFlag, ImageKind, Tlv } from './registry.js';

/**
 * @typedef {import('./image.js').Image} Image
 * @typedef {{ reaction: string, count: number, own: boolean }} Reaction
 * @typedef {{ tlvs: import('./image.js').TlvField[], body: Uint8Array, timeMs: number }} Content of an edit; `timeMs` 0: not known
 * @typedef {object} Made
 * @property {boolean} erased its content is gone, for everybody
 * @property {string} erasedBy who took it back; '' when that is not known
 * @property {number} version 0 as sent, 1 after the first edit
 * @property {Content | null} edit the newest content, when it is not that of the image
 * @property {Reaction[]} reactions in the order in which they first came
 * @property {boolean} pinned
 * @property {number} answers how many answers its thread has had
 * @typedef {{ through: number, base: Made | null, entries: Image[], made: Made }} Target `base` is what is known as of the
 *   seq `through`; null while the message has not come, and then only entries are here
 */

/** So many messages are followed; the longest known goes. */
const TARGETS = 5000;
const KINDS = [ImageKind.EDITED, ImageKind.REVOKED, ImageKind.REACTED, ImageKind.PINNED];
const UTF8 = new TextDecoder('utf-8', { ignoreBOM: true });

/** Whether `image` is about another message. @param {Image} image */
export function isAboutAnother(image) {
  return KINDS.includes(/** @type {never} */ (image.kind));
}

/** The seq of the message that `image` is about; 0 for none. @param {Image} image */
export function targetOf(image) {
  return tlvU64(image.tlvs, Tlv.TARGET) ?? 0;
}

/** The seq of the message in whose thread `image` is an answer; 0 for none. @param {Image} image */
export function threadOf({ kind, flags, tlvs }) {
  return kind === ImageKind.MESSAGE && (flags & ImageFlag.THREADED) !== 0 ? (tlvU64(tlvs, Tlv.THREAD) ?? 0) : 0;
}

/** What is made of a message that nobody has touched. @returns {Made} */
export function untouched() {
  return { erased: false, erasedBy: '', version: 0, edit: null, reactions: [], pinned: false, answers: 0 };
}

/** What the body of REACTED or PINNED says. @param {Uint8Array} body */
export function decodeSwitch(body) {
  return { isOn: body[0] === 1, what: UTF8.decode(body.subarray(1)) };
}

/** @param {import('./elements.js').Made} told @returns {Made} */
function madeOf({ version, pinned, answers, reactions }) {
  const counts = reactions.map(({ reaction, count, own }) => ({ reaction: UTF8.decode(reaction), count, own }));
  return { ...untouched(), version, pinned, answers, reactions: counts };
}

export class Targets {
  #user;
  /** @type {Map<number, Target>} */
  #targets = new Map();

  /** @param {string} user whose reactions are own */
  constructor(user) {
    this.#user = user;
  }

  /** What is known of the message `seq`; null when nothing is. @param {number} seq @returns {Made | null} */
  get(seq) {
    return this.#targets.get(seq)?.made ?? null;
  }

  /**
   * Takes a message with what SYNC said of it.
   * @param {Image} image
   * @param {number} through the head of that SYNC; for a live message its own seq
   * @param {import('./elements.js').Made | null} told null when nothing was said
   */
  hold(image, through, told) {
    const known = this.#targets.get(image.seq);
    if (known?.base != null && known.through >= through) return;
    const base = told === null ? untouched() : madeOf(told);
    base.erased ||= (image.flags & ImageFlag.ERASED) !== 0;
    base.version = Math.max(base.version, tlvU32(image.tlvs, Tlv.VERSION) ?? 0);
    if (known === undefined && through === image.seq && told === null && !base.erased) {
      // A live message that nobody has touched: the most frequent case keeps one small record.
      this.#put(image.seq, { through, base, entries: [], made: base });
      return;
    }
    const entries = (known?.entries ?? []).filter(({ seq }) => seq > through);
    this.#put(image.seq, this.#fold({ through, base, entries, made: base }));
  }

  /** Takes an entry about a message, or an answer in its thread, whether that has come or not. @param {Image} image @returns {number} the seq of the message */
  apply(image) {
    const seq = targetOf(image) || threadOf(image);
    const target = this.#targets.get(seq) ?? { through: 0, base: null, entries: [], made: untouched() };
    if (seq === 0 || image.seq <= target.through || target.entries.some((known) => known.seq === image.seq)) return seq;
    target.entries = [...target.entries, detached(image)].sort((a, b) => a.seq - b.seq);
    this.#put(seq, this.#fold(target));
    return seq;
  }

  /** Forgets everything: the channel has another past. */
  clear() {
    this.#targets.clear();
  }

  /** @param {number} seq @param {Target} target */
  #put(seq, target) {
    this.#targets.set(seq, target);
    if (this.#targets.size <= TARGETS) return;
    const [oldest] = this.#targets.keys();
    this.#targets.delete(oldest);
  }

  /** @param {Target} target @returns {Target} */
  #fold(target) {
    const base = target.base ?? untouched();
    const made = { ...base, reactions: base.reactions.map((reaction) => ({ ...reaction })) };
    for (const image of target.entries) this.#fold1(made, image);
    return { ...target, made };
  }

  /** @param {Made} made @param {Image} image */
  #fold1(made, image) {
    if (image.kind === ImageKind.MESSAGE) made.answers += 1;
    if (image.kind === ImageKind.PINNED) made.pinned = decodeSwitch(image.body).isOn;
    if (made.erased) return;
    if (image.kind === ImageKind.REVOKED) {
      Object.assign(made, { erased: true, erasedBy: authorOf(image), edit: null, reactions: [] });
    } else if (image.kind === ImageKind.EDITED) {
      const version = tlvU32(image.tlvs, Tlv.VERSION) ?? made.version + 1;
      if ((image.flags & ImageFlag.ERASED) !== 0 || version < made.version) return;
      const { tlvs, body, timeMs } = image;
      Object.assign(made, { version, edit: { tlvs, body, timeMs } });
    } else if (image.kind === ImageKind.REACTED) {
      this.#react(made, image);
    }
  }

  /** @param {Made} made @param {Image} image */
  #react(made, image) {
    const { isOn, what } = decodeSwitch(image.body);
    const isOwn = authorOf(image) === this.#user;
    const known = made.reactions.find(({ reaction }) => reaction === what);
    if (known === undefined) {
      if (isOn) made.reactions.push({ reaction: what, count: 1, own: isOwn });
      return;
    }
    known.count += isOn ? 1 : -1;
    if (isOwn) known.own = isOn;
    made.reactions = made.reactions.filter(({ count }) => count > 0);
  }
}

/** A copy that holds on to no frame. @param {Image} image @returns {Image} */
function detached(image) {
  const tlvs = image.tlvs.map(({ tag, value }) => ({ tag, value: value.slice() }));
  return { ...image, sender: image.sender.slice(), tlvs, body: image.body.slice() };
}

/** Whether `image` mentions `user`. @param {Image} image @param {string} user */
export function mentions({ flags, tlvs }, user) {
  if ((flags & ImageFlag.MENTION_ALL) !== 0) return true;
  return mentioned(tlvs).includes(user);
}

/** The users that the TLV MENTIONS names. @param {import('./image.js').TlvField[]} tlvs @returns {string[]} */
export function mentioned(tlvs) {
  const value = tlvBytes(tlvs, Tlv.MENTIONS) ?? new Uint8Array(0);
  const users = [];
  for (let at = 0; at < value.length; at += 1 + value[at]) users.push(UTF8.decode(value.subarray(at + 1, at + 1 + value[at])));
  return users;
}
