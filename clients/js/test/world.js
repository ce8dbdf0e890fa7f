// @ts-check
// A client in a world that the test makes: its connection, its clock, its storage; and what a server says.

import { MemoryStorage, PostriderClient } from '../client.js';
import { encodeImage, personChannel } from '../codec.js';
import { ImageKind, Kind, Reason } from '../registry.js';
import { FakeClock, FakeNetwork, settled } from './fake-socket.js';

/** @typedef {import('../codec.js').Channel} Channel */

const EVENTS = ['state', 'message', 'made', 'gap', 'reset', 'hidden', 'conversation', 'outgoing', 'typing', 'presence', 'receipt', 'signal', 'requests', 'contact'];
export const CHANNEL = personChannel('alice', 'bob');
export const NOTHING = new Uint8Array(0);

/** @param {Partial<import('../client.js').ClientOptions>} [options] */
export function world(options = {}) {
  const network = new FakeNetwork();
  const clock = new FakeClock();
  const storage = options.storage ?? new MemoryStorage();
  const client = new PostriderClient({
    url: 'ws://test/ws', user: 'alice', device: 'd1', token: () => 'token', storage, clock, WebSocket: network.WebSocket,
    ...options,
  });
  /** @type {any[]} */
  const events = [];
  for (const name of EVENTS) {
    client.addEventListener(name, (event) => events.push([name, /** @type {CustomEvent} */ (event).detail]));
  }
  /** @param {string} name */
  const take = (name) => {
    const found = events.filter(([other]) => other === name).map(([, detail]) => detail);
    events.splice(0, events.length, ...events.filter(([other]) => other !== name));
    return found;
  };
  return { network, clock, storage, client, events, take };
}

/** @param {number} seq @param {Partial<import('../codec.js').Image>} [fields] @returns {import('../codec.js').Image} */
export function image(seq, fields = {}) {
  return {
    kind: ImageKind.MESSAGE, flags: 1, seq, timeMs: 1000 + seq, channel: CHANNEL, from: { side: 1 },
    sender: Uint8Array.of(1, 9, 9, 9, 9, 9, 9, 9), number: seq, tlvs: [], body: new TextEncoder().encode(`m${seq}`),
    ...fields,
  };
}

/** @param {number} seq @param {Partial<import('../codec.js').Image>} [fields] @returns {import('../codec.js').Recv} */
export function recv(seq, fields) {
  return { kind: Kind.RECV, image: image(seq, fields) };
}

/** @param {Partial<import('../codec.js').Conversation>} [fields] @returns {import('../codec.js').Conversation} */
export function conversation(fields = {}) {
  return { channel: CHANNEL, flags: 0, epoch: 1, head: 0, syncFrom: 0, read: 0, unread: 0, mentions: 0, mutedUntilMs: 0, cleared: 0, name: NOTHING, avatar: NOTHING,
    image: NOTHING, ...fields };
}

/** @param {any} sync @param {number[]} seqs @param {Partial<import('../codec.js').Synced>} [fields] @returns {import('../codec.js').Synced} */
export function synced(sync, seqs, fields = {}) {
  return {
    kind: Kind.SYNCED, request: sync.request, reason: Reason.OK, epoch: sync.epoch, head: sync.to, from: sync.from,
    to: seqs.at(-1) ?? sync.from - 1, items: seqs.map((seq) => ({ image: encodeImage(image(seq)) })), tlvs: [], ...fields,
  };
}

/** @param {any} send @param {number} seq @param {number} [reason] @param {import('../codec.js').TlvField[]} [tlvs] @returns {import('../codec.js').Sendack} */
export function sendack(send, seq, reason = Reason.OK, tlvs = []) {
  return { kind: Kind.SENDACK, number: send.number, reason, seq, timeMs: seq === 0 ? 0 : 1000 + seq, tlvs };
}

/** Connects, with the conversation with bob up to `head`. @param {ReturnType<typeof world>} w @param {Partial<import('../codec.js').Conversation>} [fields] */
export async function online(w, fields = {}) {
  if (w.client.phase === 'idle') w.client.connect();
  await settled();
  const { socket } = w.network;
  await socket.accept();
  await socket.list([conversation(fields)]);
  w.take('state');
  w.take('conversation');
  return socket;
}

/** @param {any[]} messages */
export const seqs = (messages) => messages.map(({ image: { seq } }) => seq);
