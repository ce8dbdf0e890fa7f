// @ts-check
// The client: one device of one user. It keeps a connection up, carries out commands once, and hands the app each
// channel's images once and in order. What it needs to go on after a restart is in its storage.

import { Broadcasts } from './broadcasts.js';
import { addressOf, channelKey, channelOf, encodeConversationSet, encodeRead, flagsByServer, fromOf, tlvU64, tlvsOfSettings } from './codec.js';
import { PLATFORM_CLOCK, endingOf } from './connection.js';
import { Groups } from './groups.js';
import { Inbox } from './inbox.js';
import { FIRST_BACKOFF_MS, Link, retryOf } from './link.js';
import { Live } from './live.js';
import { Messages } from './messages.js';
import { Outbox, Refused, packetOf, randomId } from './outbox.js';
import { People } from './people.js';
import { ImageKind, Kind, Method, Reason, Tlv } from './registry.js';
import { Requests } from './requests.js';
import { Schedule } from './schedule.js';
import { MemoryStorage, State } from './storage.js';

export { Refused, reasonName } from './outbox.js';
export { MemoryStorage } from './storage.js';

/**
 * @typedef {import('./image.js').Image} Image
 * @typedef {import('./image.js').Channel} Channel
 * @typedef {import('./codec.js').Packet} Packet
 * @typedef {import('./connection.js').Clock} Clock
 * @typedef {import('./connection.js').Ending} Ending
 * @typedef {import('./outbox.js').Command} Command
 * @typedef {{ image: Image } | { gap: { from: number, to: number, why: number } }} HistoryItem
 * @typedef {import('./link.js').ClientState} ClientState
 * @typedef {object} ClientOptions
 * @property {string} url `ws://…` or `wss://…`
 * @property {string} user who the token speaks for
 * @property {string} device this device's id; one device has one connection
 * @property {string | (() => string | Promise<string>)} token asked for each time a connection is made
 * @property {import('./storage.js').Storage} [storage] default: memory
 * @property {typeof globalThis.WebSocket} [WebSocket] default: the platform's
 * @property {string} [platform] told to the server
 * @property {Clock} [clock] default: the platform's
 */

const HISTORY_PAGE = 50;
const STOLEN = 'another client uses this storage';
const NOTHING = new Uint8Array(0);

/**
 * Events (each a `CustomEvent`; see README.md): `state`, `message`, `made`, `gap`, `reset`, `hidden`, `conversation`,
 * `outgoing`, `typing`, `presence`, `receipt`, `signal`, `requests`, `contact`.
 */
export class PostriderClient extends EventTarget {
  #options;
  #clock;
  #state;
  #outbox;
  #inbox;
  #requests = new Requests();
  #link;
  /** @type {unknown} */
  #pause = null;

  /** @type {Map<number, Command>} CALLs of commands on this connection, by request id */
  #calls = new Map();
  /** @type {Map<string, { resolve: (made: { seq: number, timeMs: number }) => void, reject: (error: Error) => void }>} */
  #promises = new Map();

  /** @param {ClientOptions} options */
  constructor(options) {
    super();
    this.#options = { WebSocket: globalThis.WebSocket, platform: '', ...options };
    this.#clock = options.clock ?? PLATFORM_CLOCK;
    this.#state = new State(options.storage ?? new MemoryStorage(), options.user, options.device);
    this.#outbox = new Outbox(this.#state);
    this.#link = new Link({
      client: this.#options,
      clock: this.#clock,
      sender: () => this.#state.sender,
      packet: (packet) => this.#packet(packet),
      turned: (phase, ending) => this.#emit('state', { phase, ...ending }),
      down: () => this.#disconnected(),
      over: (phase, ending) => this.#over(phase, ending),
      expired: () => this.#renew(null),
    });
    this.#inbox = new Inbox({
      state: this.#state,
      requests: this.#requests,
      user: options.user,
      emit: (name, detail) => this.#tell(name, detail),
      recognise: (image) => this.#recognise(image),
      refused: (answer) => this.#link.again(endingOf(answer)),
      pause: () => this.#pauseFor(FIRST_BACKOFF_MS),
      listed: () => this.#link.proved(),
    });
    /** @type {import('./caller.js').Caller} */
    const caller = {
      user: options.user,
      change: (channel, method, fields, tlvs) => this.#change(channel, method, fields, tlvs),
      ask: (method, fields) => this.#call(method, fields),
      alter: (channel, change) => this.#alter(channel, change),
      emit: (name, detail) => this.#emit(name, detail),
      relist: () => this.refresh(),
      told: (channel, items) => this.#inbox.told(channel, items, null),
    };
    /** What is done with groups. */
    this.groups = new Groups(caller);
    /** What is done with messages that are there. */
    this.messages = new Messages(caller);
    /** Messages that the server is to send later. */
    this.schedule = new Schedule(caller);
    /** What system users send to everybody. */
    this.broadcasts = new Broadcasts(caller);
    /** Profiles, contacts, blocked users, devices. */
    this.people = new People(caller);
    /** What is told and not stored: typing, presence, receipts, signals. */
    this.live = new Live(caller, this.#clock, (packet) => {
      this.#link.online?.send(packet);
      return this.#link.online !== null;
    });
  }

  // --- what the app looks at ---------------------------------------------------------------------------------------

  get user() {
    return this.#options.user;
  }

  get device() {
    return this.#options.device;
  }

  /** What the client is doing. `replaced`, `refused` and `closed` are for ever: make a new client to go on. */
  get phase() {
    return this.#link.phase;
  }

  /** The conversations that are known. */
  get conversations() {
    return this.#inbox.conversations;
  }

  /** The conversation of `channel`, if it is known. @param {Channel} channel */
  conversation(channel) {
    return this.#inbox.conversation(channel);
  }

  /** Messages that are waiting for their acknowledgement, were refused, or may not have arrived; oldest first. */
  get outgoing() {
    return this.#outbox.commands.filter(({ method }) => method === 0);
  }

  // --- what the app does -------------------------------------------------------------------------------------------

  /** Connects, and stays connected until `close`. Once in the life of a client. */
  connect() {
    if (this.phase !== 'idle') throw new Error('a client connects once; make a new one');
    this.#state.claim(randomId());
    this.#link.connect();
  }

  /** Ends the connection. What is unsent stays in the storage. */
  close() {
    if (!this.#link.isOver) this.#link.finish('closed', { reason: null, detail: '', retryMs: null });
  }

  /** Something about the conversations may have changed that is not told: asks for it. */
  refresh() {
    this.#inbox.relist();
    this.#flush();
  }

  /** Now is a good time to connect, or to find out whether the connection still lives: the network or the user is back. */
  nudge() {
    this.#link.nudge();
  }

  /**
   * Sends a message: at once, or as soon as there is a connection. It is stored when `outgoing` says so.
   * @param {string | Channel} to `user:ID`, `group:ID` or a channel
   * @param {string | Uint8Array} body text is sent as UTF-8
   * @param {import('./outbox.js').MessageOptions} [options]
   * @returns {Command}
   */
  send(to, body, options = {}) {
    this.#mustBeAlive();
    const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : body;
    const contentType = options.contentType ?? (typeof body === 'string' ? 'text/plain' : '');
    const command = this.#outbox.message(this.channel(to), bytes, { ...options, contentType }, this.#clock.now());
    this.#emit('outgoing', command);
    this.#flush();
    return command;
  }

  /** Sends a refused or doubtful message again, as a new one. @param {Command} command */
  retry(command) {
    this.#mustBeAlive();
    this.#outbox.retry(command);
    this.#emit('outgoing', command);
    this.#flush();
  }

  /** Forgets a refused or doubtful message. @param {Command} command */
  discard(command) {
    this.#outbox.discard(command);
  }

  /** The channel that `address` means to this user. @param {string | Channel} address @returns {Channel} */
  channel(address) {
    const channel = typeof address === 'string' ? channelOf(address, this.user) : address;
    if (channel === null) throw new RangeError(`${address} is no address: user:ID or group:ID`);
    return channel;
  }

  /** The address of `channel` as this user writes it. @param {Channel} channel */
  address(channel) {
    return addressOf(channel, this.user);
  }

  /** The user has read `channel` up to `seq`. @param {Channel} channel @param {number} seq */
  markRead(channel, seq) {
    if (!this.#inbox.markRead(channel, seq)) return;
    const key = channelKey(channel);
    const same = this.#outbox.commands.find(
      (command) => command.method === Method.READ && command.copies === 0 && channelKey(command.channel) === key,
    );
    if (same === undefined) this.#outbox.call(channel, Method.READ, encodeRead(channel, seq), this.#clock.now());
    else same.body = encodeRead(channel, seq);
    this.#move();
  }

  /** Mutes, pins, hides, marks unread or clears a conversation for this user. @param {Channel} channel @param {import('./stream.js').Settings} settings */
  async setConversation(channel, settings) {
    await this.#change(channel, Method.CONVERSATION_SET, encodeConversationSet(channel, tlvsOfSettings(settings)));
    this.#alter(channel, (stream) => stream.set(settings));
  }

  /** What later entries made of the message `seq`; null when nothing is known. @param {Channel} channel @param {number} seq */
  made(channel, seq) {
    return this.conversation(channel)?.targets.get(seq) ?? null;
  }

  /**
   * The images of `channel` just below `before`, ascending, with the gaps between them.
   * @param {Channel} channel
   * @param {number} before exclusive
   * @param {number} [limit] how many seqs
   * @returns {Promise<HistoryItem[]>}
   */
  async history(channel, before, limit = HISTORY_PAGE) {
    /** @type {HistoryItem[]} */
    const items = [];
    const to = before - 1;
    let from = Math.max(1, before - limit);
    while (from <= to) {
      const epoch = this.conversation(channel)?.epoch;
      if (epoch == null) throw new Refused(Reason.NO_CHANNEL, '');
      const asked = from;
      const synced = await this.#ask((request) => ({
        kind: Kind.SYNC, request, channel, epoch, from: asked, to, limit: 0, tlvs: [],
      }));
      items.push(...this.#inbox.told(channel, synced.items, synced.head));
      if (synced.to < from) break;
      from = synced.to + 1;
    }
    return items;
  }

  /**
   * Carries out a CALL that changes `channel`, once.
   * @param {Channel} channel @param {number} method @param {Uint8Array} fields @param {import('./image.js').TlvField[]} [tlvs]
   * @returns {Promise<import('./caller.js').Done>}
   */
  #change(channel, method, fields, tlvs = []) {
    this.#mustBeAlive();
    const command = this.#outbox.call(channel, method, fields, this.#clock.now(), tlvs);
    return new Promise((resolve, reject) => {
      this.#promises.set(command.id, { resolve, reject });
      this.#flush();
    });
  }

  /** Asks by a CALL that changes nothing. @param {number} method @param {Uint8Array} fields @returns {Promise<Uint8Array>} */
  async #call(method, fields) {
    const reply = await this.#ask((request) => ({ kind: Kind.CALL, request, method, number: 0, oldest: 0, fields, tlvs: [] }));
    return reply.fields.slice();
  }

  /** @param {Channel} channel @param {(stream: import('./stream.js').Stream) => void} change */
  #alter(channel, change) {
    this.#inbox.change(channel, change);
    this.#move();
  }

  #mustBeAlive() {
    if (this.#link.isOver) throw new Error(`the client is ${this.phase}; make a new one`);
    if (this.phase !== 'idle' && !this.#state.isOurs) {
      this.#stolen();
      throw new Error(STOLEN);
    }
  }

  #stolen() {
    this.#link.finish('replaced', { reason: Reason.REPLACED, detail: STOLEN, retryMs: null });
  }

  // --- the connection ----------------------------------------------------------------------------------------------

  /** Lets go of everything that belongs to one connection. */
  #disconnected() {
    this.#clock.clearTimeout(this.#pause);
    this.#pause = null;
    this.#calls.clear();
    this.#outbox.disconnected();
    this.#inbox.disconnected();
    this.#requests.disconnected();
    this.live.disconnected();
  }

  /** @param {ClientState} phase @param {Ending} ending */
  #over(phase, ending) {
    const error = new Refused(ending.reason ?? Reason.OK, `the client is ${phase}`);
    this.#requests.fail(error);
    for (const { reject } of this.#promises.values()) reject(error);
    this.#promises.clear();
  }

  /** @param {string} name @param {unknown} detail */
  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  /** What comes in order. @param {string} name @param {any} detail */
  #tell(name, detail) {
    this.#emit(name, detail);
    if (name === 'message') this.live.wrote(detail.channel, detail.author);
  }

  /** @param {Packet} packet */
  #packet(packet) {
    if (!this.#state.isOurs) return this.#stolen();
    switch (packet.kind) {
      case Kind.CONNACK:
        this.#connacked(packet);
        break;
      case Kind.RECV:
        this.#inbox.offer(packet.image);
        break;
      case Kind.SENDACK:
        this.#answered(this.#outbox.waiting(packet.number), packet);
        break;
      case Kind.LAG:
        this.#inbox.lagged();
        break;
      case Kind.NOTICE:
        this.live.notice(packet);
        break;
      case Kind.REPLY:
      case Kind.LISTED:
      case Kind.SYNCED:
        this.#replied(packet);
        break;
      default:
        break;
    }
    this.#move();
  }

  /** Does what has become possible: stores, acknowledges, tells the app, sends, asks. */
  #move() {
    const connection = this.#link.online;
    this.#inbox.settle(
      connection && ((channel, seq) => connection.send({ kind: Kind.RECVACK, channel, seq, tlvs: [] })),
    );
    this.#flush();
  }

  /** @param {import('./codec.js').Connack} connack */
  #connacked({ user, sender }) {
    if (user !== this.user) {
      return this.#link.finish('refused', { reason: null, detail: `the token is for ${user}`, retryMs: null });
    }
    const known = this.#state.sender;
    if (known === null || known.join() !== sender.join()) this.#renew(sender.slice(), known === null);
    this.#inbox.connected();
    this.#link.accepted();
    this.live.connected();
  }

  /** @param {Uint8Array | null} sender @param {boolean} [isFirst] */
  #renew(sender, isFirst = false) {
    if (isFirst) {
      this.#state.sender = sender;
      return this.#state.saveOutbox();
    }
    for (const command of this.#outbox.renew(sender)) this.#doubt(command);
  }

  // --- commands ----------------------------------------------------------------------------------------------------

  /** Puts on the wire what is due: commands, then the next request. */
  #flush() {
    const connection = this.#link.online;
    if (connection === null || this.#pause !== null) return;
    for (const command of this.#outbox.take()) {
      const request = command.method === 0 ? 0 : this.#requests.id();
      if (request > 0) this.#calls.set(request, command);
      connection.send(packetOf(command, this.#outbox.oldest, request));
    }
    const request = this.#requests.take(this.#inbox);
    if (request !== null) connection.send(request);
  }

  /** A device knows its own command when it sees what became of it. @param {Image} image */
  #recognise(image) {
    const own = this.#outbox.origin(image.sender, image.number);
    if (own === null) return;
    this.#outbox.finish(own);
    this.#emit('outgoing', { ...own, state: 'stored', seq: image.seq, timeMs: image.timeMs });
  }

  /**
   * @param {Command | null} command
   * @param {{ reason: number, seq: number, timeMs: number, tlvs: import('./image.js').TlvField[] }} answer
   */
  #answered(command, answer) {
    if (command === null) return;
    if (answer.reason === Reason.OK) return this.#stored(command, answer);
    const refusal = endingOf(answer);
    if (retryOf(answer.reason) === 'reconnect') return this.#link.again(refusal);
    const wait = this.#outbox.refuse(command, { ...refusal, reason: answer.reason });
    if (this.#outbox.needsSender) return this.#link.again({ ...refusal, reason: Reason.SENDER_EXPIRED });
    if (wait !== null) return this.#pauseFor(wait);
    if (command.method !== 0) this.#outbox.discard(command);
    this.#promises.get(command.id)?.reject(new Refused(answer.reason, refusal.detail));
    this.#promises.delete(command.id);
    if (command.method === 0) this.#emit('outgoing', command);
  }

  /** @param {Command} command @param {{ seq: number, timeMs: number }} answer */
  #stored(command, { seq, timeMs }) {
    const { channel, flags, number, body, tlvs } = command;
    if (command.method === 0) {
      const sender = this.#state.sender ?? NOTHING;
      const kept = tlvs.filter(({ tag }) => tag !== Tlv.READ);
      const from = fromOf(this.user, channel);
      this.#inbox.offer({
        kind: ImageKind.MESSAGE, flags: flags | flagsByServer(kept), seq, timeMs, channel, from, sender, number, tlvs: kept, body,
      });
      this.#inbox.markRead(channel, tlvU64(tlvs, Tlv.READ) ?? 0);
      return;
    }
    this.#outbox.finish(command);
    this.#promises.get(command.id)?.resolve({ seq, timeMs });
    this.#promises.delete(command.id);
    if (seq > 0) this.#inbox.expect(channel, seq);
  }

  /** Nobody knows whether `command` was carried out. @param {Command} command */
  #doubt(command) {
    this.#promises.get(command.id)?.reject(new Refused(command.reason, 'perhaps done'));
    this.#promises.delete(command.id);
    if (command.method === 0) this.#emit('outgoing', command);
    else this.#outbox.discard(command);
  }

  /** Sends nothing for so long. @param {number} ms */
  #pauseFor(ms) {
    if (this.#pause !== null) return;
    this.#pause = this.#clock.setTimeout(() => {
      this.#pause = null;
      this.#flush();
    }, ms);
  }

  /**
   * Asks for the app: a refusal throws, a lost connection does not.
   * @param {(request: number) => Packet} make
   * @returns {Promise<any>}
   */
  #ask(make) {
    this.#mustBeAlive();
    return new Promise((resolve, reject) => {
      /** @param {any} packet */
      const done = (packet) => {
        if (packet.reason === Reason.OK) resolve(packet);
        else reject(new Refused(packet.reason, endingOf(packet).detail));
      };
      this.#requests.ask({ make, done, failed: reject });
      this.#flush();
    });
  }

  /** @param {import('./codec.js').Listed | import('./codec.js').Synced | import('./codec.js').Reply} packet */
  #replied(packet) {
    const command = this.#calls.get(packet.request);
    if (command !== undefined && packet.kind === Kind.REPLY) {
      this.#calls.delete(packet.request);
      return this.#answered(command, packet);
    }
    if (!this.#requests.answer(packet)) this.#pauseFor(endingOf(packet).retryMs ?? FIRST_BACKOFF_MS);
  }
}
