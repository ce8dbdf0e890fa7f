// @ts-check
// What can be done with a message that is there.

import { GroupRole } from './client/fields-groups.js';
import { ask, said } from './dialogs.js';
import { toast } from './dom.js';
import { openMenu, openSigns } from './menu.js';
import { textOf } from './words.js';

/**
 * @typedef {import('./client/client.js').PostriderClient} PostriderClient
 * @typedef {import('./client/image.js').Channel} Channel
 * @typedef {import('./message.js').Message} Message
 */

const SIGNS = [
  '👍', '❤️', '😂', '😮', '😢', '🙏', '🎉', '👏', '🔥', '👀', '✅', '❌', '💯', '🤔', '😍', '😅', '👎', '🙌', '💪', '🚀',
  '😊', '😭', '😡', '🤝', '☕', '🌻', '🐎', '✉️', '⭐', '💡', '⏰', '🎂',
];

export class Deeds {
  #client;
  #facts;
  #thread;

  /**
   * @param {PostriderClient} client @param {import('./facts.js').Facts} facts
   * @param {{ channel: () => Channel | null, reply: (message: Message) => void, edit: (message: Message) => void,
   *   jump: (seq: number) => void, readers: (seq: number) => void, answers: (seq: number) => void, render: () => void }} thread
   */
  constructor(client, facts, thread) {
    this.#client = client;
    this.#facts = facts;
    this.#thread = thread;
  }

  /** @param {Message} message */
  reply(message) {
    this.#thread.reply(message);
  }

  /** @param {number} seq */
  jump(seq) {
    this.#thread.jump(seq);
  }

  /** @param {Message} message */
  readers(message) {
    this.#thread.readers(message.seq);
  }

  /** @param {number} seq */
  openThread(seq) {
    this.#thread.answers(seq);
  }

  /** @param {import('./client/outbox.js').Command} command */
  retry(command) {
    this.#client.retry(command);
  }

  /** @param {import('./client/outbox.js').Command} command */
  discard(command) {
    this.#client.discard(command);
    this.#thread.render();
  }

  /** @param {Message} message @param {string} reaction @param {boolean} isOn */
  react(message, reaction, isOn) {
    this.#do((channel) => this.#client.messages.react(channel, message.seq, reaction, isOn));
  }

  /** @param {Message} message @param {HTMLElement} anchor */
  pickReaction(message, anchor) {
    openSigns(anchor, SIGNS, 'React', (sign) => {
      const isOwn = message.made?.reactions.some(({ reaction, own }) => own && reaction === sign) ?? false;
      this.react(message, sign, !isOwn);
    });
  }

  /** @param {Message} message @param {HTMLElement} anchor */
  more(message, anchor) {
    const { content, made, author, seq } = message;
    const isOwn = author === this.#client.user;
    const group = this.#group;
    const text = textOf(content.body, content.tlvs);
    /** @type {import('./menu.js').MenuItem[]} */
    const items = [];
    if (!content.isErased) {
      items.push({ icon: 'reply', text: 'Reply', act: () => this.reply(message) });
      items.push({ icon: 'thread', text: 'Answer in thread', act: () => this.openThread(content.thread || seq) });
      items.push({ icon: 'smile', text: 'React', act: () => this.pickReaction(message, anchor) });
      if (text !== null) items.push({ icon: 'copy', text: 'Copy text', act: () => this.#copy(text) });
      if (isOwn && text !== null) items.push({ icon: 'edit', text: 'Edit', act: () => this.#thread.edit(message) });
      if (group === null || this.#facts.isAdmin(group)) {
        const isPinned = made?.pinned ?? false;
        items.push({ icon: 'pin', text: isPinned ? 'Unpin' : 'Pin', act: () => this.#do((channel) => this.#client.messages.pin(channel, seq, !isPinned)) });
      }
      if (isOwn && group !== null) items.push({ icon: 'eye', text: 'Who has read it', act: () => this.readers(message) });
    }
    const mayErase = !content.isErased && (isOwn || (group !== null && this.#outranks(group, author)));
    items.push({ icon: 'trash', text: 'Delete…', isDangerous: true, act: () => this.#askDelete(message, mayErase) });
    openMenu(anchor, items, 'What to do with this message');
  }

  /** The newest own message can be changed from the keyboard. @param {Message} message */
  edit(message) {
    this.#thread.edit(message);
  }

  /** @param {Message} message @param {boolean} mayErase for everybody */
  #askDelete({ seq }, mayErase) {
    const choices = [{ text: 'Delete for me', act: () => this.#do((channel) => this.#client.messages.hide(channel, seq, seq)) }];
    const everybody = {
      text: 'Delete for everybody', isDangerous: true, act: () => this.#do((channel) => this.#client.messages.revoke(channel, seq)),
    };
    ask('Delete this message?', mayErase ? 'For everybody: its content is erased for good.' : '', mayErase ? [everybody, ...choices] : choices);
  }

  get #group() {
    const channel = this.#thread.channel();
    return channel?.kind === 2 ? channel.ids[0] : null;
  }

  /** @param {string} group @param {string} author */
  #outranks(group, author) {
    const role = this.#facts.group(group)?.role ?? GroupRole.NONE;
    const theirs = this.#facts.membersOf(group).find(({ user }) => user === author)?.role ?? GroupRole.MEMBER;
    return role !== GroupRole.NONE && role > theirs;
  }

  /** @param {string} text */
  async #copy(text) {
    await navigator.clipboard.writeText(text).then(() => toast('Copied'), () => toast('It cannot be copied here.'));
  }

  /** @param {(channel: Channel) => Promise<unknown>} work */
  async #do(work) {
    const channel = this.#thread.channel();
    if (channel === null) return;
    try {
      await work(channel);
    } catch (error) {
      toast(said(error));
    }
  }
}
