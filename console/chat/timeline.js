// @ts-check
// The part of one channel that the page holds: what came while it was open, and history below as far as it was loaded.
// It has no holes: the client hands out each channel in order, and history is loaded downwards from there.

import { GapReason } from './client/registry.js';

/**
 * @typedef {import('./client/image.js').Image} Image
 * @typedef {import('./client/outbox.js').Command} Command
 * @typedef {{ from: number, to: number, why: number }} Gap
 * @typedef {{ seq: number, image: Image, gap: null } | { seq: number, image: null, gap: Gap }} Item
 */

export class Timeline {
  /** @type {Map<number, Item>} by seq; of a gap, by its first */
  #items = new Map();
  /** @type {Map<number, Command & { timeMs: number }>} stored own messages that the stream has not reached, by seq */
  #stored = new Map();
  /** The lowest seq that is here; 0 while nothing is. */
  #first = 0;
  #isTop = false;
  isLoading = false;
  /** Why history could not be loaded. */
  trouble = '';
  /** What was written and not sent. */
  draft = '';
  /** The first unread seq when the channel was opened; 0 for none. */
  newFrom = 0;

  /** @param {import('./client/image.js').Channel} channel */
  constructor(channel) {
    this.channel = channel;
  }

  /** Whether there is nothing below. */
  get isTop() {
    return this.#isTop || this.#first === 1;
  }

  get isEmpty() {
    return this.#first === 0;
  }

  /** What is here, ascending. */
  get items() {
    return [...this.#items.values()].sort((a, b) => a.seq - b.seq);
  }

  /** Own messages that are stored above what is here, ascending. */
  get stored() {
    return [...this.#stored].sort(([a], [b]) => a - b).map(([, command]) => command);
  }

  /** The image with this seq, if it is here. @param {number} seq */
  image(seq) {
    return this.#items.get(seq)?.image ?? null;
  }

  /** @param {Image} image */
  add(image) {
    this.#put({ seq: image.seq, image, gap: null });
    this.#stored.delete(image.seq);
  }

  /** @param {Gap} gap */
  addGap(gap) {
    this.#put({ seq: gap.from, image: null, gap });
    if (gap.why === GapReason.NOT_VISIBLE && gap.from === this.#first) this.#isTop = true;
  }

  /** @param {Command & { seq: number, timeMs: number }} command */
  addStored(command) {
    if (!this.#items.has(command.seq)) this.#stored.set(command.seq, command);
  }

  /** The user has deleted these for themselves. @param {number} from @param {number} to */
  hide(from, to) {
    for (const { seq, image } of [...this.#items.values()]) {
      if (image === null || seq < from || seq > to) continue;
      this.#items.set(seq, { seq, image: null, gap: { from: seq, to: seq, why: GapReason.HIDDEN } });
    }
  }

  /** @param {Item} item */
  #put(item) {
    this.#items.set(item.seq, item);
    this.#first = this.#first === 0 ? item.seq : Math.min(this.#first, item.seq);
  }

  /**
   * Loads the page of history below what is here.
   * @param {import('./client/client.js').PostriderClient} client
   */
  async loadOlder(client) {
    const cursor = client.conversation(this.channel)?.cursor ?? 0;
    const before = this.#first === 0 ? cursor + 1 : this.#first;
    if (this.isLoading || this.isTop || before <= 1) return;
    this.isLoading = true;
    this.trouble = '';
    try {
      for (const item of await client.history(this.channel, before)) {
        if ('image' in item) this.add(item.image);
        else this.addGap(item.gap);
      }
    } catch (error) {
      this.trouble = error instanceof Error ? error.message : String(error);
    } finally {
      this.isLoading = false;
    }
  }

  /** Lets everything go: the channel has another past. */
  reset() {
    this.#items.clear();
    this.#stored.clear();
    this.#first = 0;
    this.#isTop = false;
    this.newFrom = 0;
  }
}
