// @ts-check
// What of one channel is unread. LIST tells the number as of its head; what came to this device since, or comes by SYNC
// below that head, is known by its seq.

/**
 * @typedef {{ seq: number, isMention: boolean }} Counted
 * @typedef {{ counted: Counted[], through: number, rest: number, restMentions: number }} UnreadRecord as it is stored
 */

/** So many are known by their seqs. */
const COUNTED = 1001;

export class Unread {
  /** @type {Counted[]} ascending */
  #counted = [];
  /** The head of the LIST that told the number. */
  #through = 0;
  /** How many of that number are not known by seq. */
  #rest = 0;
  #restMentions = 0;

  /** @param {UnreadRecord} record */
  static restore({ counted = [], through = 0, rest = 0, restMentions = 0 }) {
    const unread = new Unread();
    unread.#counted = counted;
    [unread.#through, unread.#rest, unread.#restMentions] = [through, rest, restMentions];
    return unread;
  }

  /** @returns {UnreadRecord} */
  record() {
    return { counted: this.#counted, through: this.#through, rest: this.#rest, restMentions: this.#restMentions };
  }

  get count() {
    return this.#counted.length + this.#rest;
  }

  get mentions() {
    return this.#counted.filter(({ isMention }) => isMention).length + this.#restMentions;
  }

  /** No unread one lies below this; 0 when there is none. @param {number} read */
  first(read) {
    return this.#rest > 0 ? read + 1 : (this.#counted[0]?.seq ?? 0);
  }

  /** Takes what LIST says as of its head. @param {number} count @param {number} mentions @param {number} head */
  list(count, mentions, head) {
    const below = this.#counted.filter(({ seq }) => seq <= head);
    const known = count === 0 ? [] : below.slice(-count);
    this.#counted = [...known, ...this.#counted.filter(({ seq }) => seq > head)];
    this.#through = head;
    this.#rest = Math.max(0, count - known.length);
    this.#restMentions = Math.max(0, mentions - known.filter(({ isMention }) => isMention).length);
  }

  /** Takes an unread message that came. @param {number} seq @param {boolean} isMention */
  add(seq, isMention) {
    this.#counted = [...this.#counted, { seq, isMention }].slice(-COUNTED);
    if (seq > this.#through) return;
    this.#rest = Math.max(0, this.#rest - 1);
    if (isMention) this.#restMentions = Math.max(0, this.#restMentions - 1);
  }

  /** The user has read up to `seq`. @param {number} seq */
  read(seq) {
    this.drop(0, seq);
  }

  /** These do not count any more. @param {number} from @param {number} to */
  drop(from, to) {
    this.#counted = this.#counted.filter(({ seq }) => seq < from || seq > to);
    if (from <= 1 && to >= this.#through) [this.#rest, this.#restMentions] = [0, 0];
  }
}
