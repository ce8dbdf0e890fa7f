// @ts-check
// The client against a scripted server: what it says, what it hands to the app, and what it keeps.

import assert from 'node:assert/strict';
import test from 'node:test';

import { authorOf, encodeImage, fromOf, groupChannel, textTlv } from '../codec.js';
import { GapReason, Kind, Method, Reason, Tlv } from '../registry.js';
import { settled } from './fake-socket.js';
import { CHANNEL, NOTHING, conversation, image, online, recv, sendack, seqs, synced, world } from './world.js';

test('connects with its token and device, and lists everything the first time', async () => {
  const w = world();
  w.client.connect();
  await settled();
  const connect = await w.network.socket.accept();
  assert.equal(new TextDecoder().decode(connect.token), 'token');
  assert.equal(connect.device, 'd1');
  assert.deepEqual([...connect.sender], [1, 0, 0, 0, 0, 0, 0, 0]);
  const list = await w.network.socket.list([conversation({ head: 3, syncFrom: 3, read: 2 })]);
  assert.equal(list.token.length, 0);
  assert.deepEqual(w.take('state').map(({ phase }) => phase), ['connecting', 'online']);
  assert.deepEqual(w.client.conversations.map(({ head, read, cursor }) => ({ head, read, cursor })), [{ head: 3, read: 2, cursor: 3 }]);
});

test('pulls what was missed, in pages, and tells how far it is', async () => {
  const w = world();
  const socket = await online(w, { head: 5, syncFrom: 1 });
  const first = socket.next(Kind.SYNC);
  assert.deepEqual([first.from, first.to, first.epoch], [2, 5, 1]);
  await socket.say(synced(first, [2, 3]));
  assert.equal(socket.next(Kind.RECVACK).seq, 3);
  const second = socket.next(Kind.SYNC);
  assert.deepEqual([second.from, second.to], [4, 5]);
  await socket.say(synced(second, [4, 5]));
  assert.equal(socket.next(Kind.RECVACK).seq, 5);
  assert.deepEqual(seqs(w.take('message')), [2, 3, 4, 5]);
  assert.equal(socket.packets.length, 0);
});

test('hands out live images in order, and drops duplicates', async () => {
  const w = world();
  const socket = await online(w);
  await socket.say(recv(1), recv(2), recv(2), recv(1));
  assert.deepEqual(seqs(w.take('message')), [1, 2]);
  assert.deepEqual(socket.packets.map((packet) => 'seq' in packet && packet.seq), [1, 2]);
  socket.packets.splice(0);
  await socket.say(recv(4));
  assert.deepEqual([socket.next(Kind.SYNC)].map(({ from, to }) => [from, to]), [[3, 3]]);
});

test('holds what is above a hole until the hole is pulled', async () => {
  const w = world();
  const socket = await online(w);
  await socket.say(recv(1), recv(4));
  assert.deepEqual(seqs(w.take('message')), [1]);
  assert.equal(socket.next(Kind.RECVACK).seq, 1);
  const sync = socket.next(Kind.SYNC);
  assert.deepEqual([sync.from, sync.to], [2, 3]);
  await socket.say(recv(5), synced(sync, [2, 3]));
  assert.deepEqual(seqs(w.take('message')), [2, 3, 4, 5]);
  assert.equal(socket.next(Kind.RECVACK).seq, 5);
});

test('a gap stands for the seqs that it names', async () => {
  const w = world();
  const socket = await online(w, { head: 4, syncFrom: 0 });
  const sync = socket.next(Kind.SYNC);
  const items = [
    { gap: { from: 1, to: 2, why: GapReason.QUARANTINED } },
    { image: encodeImage(image(3)) },
    { gap: { from: 4, to: 4, why: GapReason.TRIMMED } },
  ];
  await socket.say(synced(sync, [4], { items }));
  assert.deepEqual(w.events.filter(([name]) => name === 'gap' || name === 'message').map(([, { from, image: i }]) => from ?? `m${i.seq}`), [1, 'm3', 4]);
  assert.equal(socket.next(Kind.RECVACK).seq, 4);
});

test('an answer that leaves seqs out ends the connection', async () => {
  const w = world();
  const socket = await online(w, { head: 3 });
  await socket.say(synced(socket.next(Kind.SYNC), [1, 3]));
  assert.equal(socket.next(Kind.DISCONNECT).reason, Reason.PROTOCOL_VIOLATION);
  assert.ok(socket.isClosed);
  assert.equal(w.client.phase, 'waiting');
});

test('live images wait for the first LIST of a connection', async () => {
  const w = world();
  w.client.connect();
  await settled();
  const { socket } = w.network;
  await socket.accept();
  await socket.say(recv(4));
  assert.equal(w.take('message').length, 0);
  await socket.list([conversation({ head: 3, syncFrom: 3 })]);
  assert.deepEqual(seqs(w.take('message')), [4]);
  socket.lose();
  await w.clock.pass(1000);
  const again = w.network.socket;
  await again.accept();
  await again.say(recv(5));
  assert.equal(w.take('message').length, 0, 'it may belong to another past');
  await again.list([conversation({ epoch: 2, head: 4, syncFrom: 4 })]);
  assert.deepEqual(w.events.filter(([name]) => name === 'reset' || name === 'message').map(([name]) => name), ['reset', 'message']);
});

test('an image of a channel that is not known makes it list again', async () => {
  const w = world();
  const socket = await online(w);
  const channel = groupChannel('team');
  await socket.say(recv(7, { channel, from: { user: 'bob' } }));
  assert.equal(w.take('message').length, 0);
  const list = await socket.list([conversation({ channel, head: 7, syncFrom: 6 })]);
  assert.deepEqual([...list.token], [1]);
  assert.deepEqual(seqs(w.take('message')), [7]);
});

test('a message is stored when SENDACK says so, and takes its place in the channel', async () => {
  const w = world();
  const socket = await online(w);
  w.client.send('user:bob', 'hello', { read: 0 });
  const send = socket.next(Kind.SEND);
  assert.deepEqual([send.number, send.oldest, send.flags], [1, 1, 1]);
  assert.deepEqual(send.channel, CHANNEL);
  assert.equal(new TextDecoder().decode(send.body), 'hello');
  await socket.say(sendack(send, 1));
  assert.deepEqual(w.take('outgoing').map(({ state, seq }) => [state, seq]), [['waiting', undefined], ['stored', 1]]);
  const [message] = w.take('message');
  assert.equal(authorOf(message.image), 'alice');
  assert.deepEqual(message.image.from, fromOf('alice', CHANNEL));
  assert.deepEqual(w.client.outgoing, []);
});

test('sends again, under the same number, what was not acknowledged', async () => {
  const w = world();
  const socket = await online(w);
  w.client.send('user:bob', 'one');
  w.client.send('user:bob', 'two');
  const [first, second] = [socket.next(Kind.SEND), socket.next(Kind.SEND)];
  await socket.say(sendack(second, 2));
  socket.lose();
  w.client.send('user:bob', 'three');
  await w.clock.pass(1000);
  const again = w.network.socket;
  assert.notEqual(again, socket);
  const connect = await again.accept();
  assert.deepEqual([...connect.sender], [1, 0, 0, 0, 0, 0, 0, 7]);
  const sends = again.packets.filter(({ kind }) => kind === Kind.SEND);
  assert.deepEqual(sends.map((send) => 'oldest' in send && [send.number, send.oldest]), [[1, 1], [3, 1]]);
  assert.deepEqual(/** @type {any} */ (sends[0]).body, first.body);
});

test('what was not acknowledged survives a restart, and its image acknowledges it too', async () => {
  const w = world();
  const socket = await online(w);
  w.client.send('user:bob', 'one');
  const send = socket.next(Kind.SEND);
  const next = world({ storage: w.storage });
  next.client.connect();
  await settled();
  const connect = await next.network.socket.accept();
  assert.deepEqual(next.client.outgoing.map(({ number, state }) => [number, state]), [[1, 'waiting']]);
  await next.network.socket.list([conversation({ head: 1, syncFrom: 0 })]);
  assert.equal(next.network.socket.next(Kind.SEND).number, 1);
  const sync = next.network.socket.next(Kind.SYNC);
  const own = image(1, { from: { side: 0 }, sender: connect.sender, number: 1, body: send.body });
  await next.network.socket.say(synced(sync, [1], { items: [{ image: encodeImage(own) }] }));
  assert.deepEqual(next.take('outgoing').map(({ state, seq }) => [state, seq]), [['stored', 1]]);
  await next.network.socket.say(sendack({ number: 1 }, 1));
  assert.deepEqual(seqs(next.take('message')), [1]);
});

test('at most 64 commands are without an answer', async () => {
  const w = world();
  const socket = await online(w);
  for (let n = 0; n < 70; n += 1) w.client.send('user:bob', `m${n}`);
  assert.equal(socket.packets.length, 64);
  await socket.say(sendack({ number: 2 }, 2));
  assert.equal(socket.packets.length, 65 - 1 + 1, 'one SYNC for the hole below, no SEND above the window');
  await socket.say(sendack({ number: 1 }, 1));
  const numbers = socket.packets.flatMap((packet) => (packet.kind === Kind.SEND ? [packet.number] : []));
  assert.deepEqual(numbers.slice(-2), [65, 66]);
});

test('after a refusal for now it waits, then sends that number and all above it in order', async () => {
  const w = world();
  const socket = await online(w);
  w.client.send('user:bob', 'one');
  w.client.send('user:bob', 'two');
  socket.packets.splice(0);
  const after = [{ tag: Tlv.RETRY_AFTER_MS, value: Uint8Array.of(0, 0, 1, 0x2c) }];
  await socket.say(sendack({ number: 1 }, 0, Reason.RATE_LIMITED, after), sendack({ number: 2 }, 0, Reason.RATE_LIMITED, after));
  w.client.send('user:bob', 'three');
  await w.clock.pass(299);
  assert.equal(socket.packets.length, 0);
  await w.clock.pass(1);
  assert.deepEqual(socket.packets.map((packet) => 'number' in packet && packet.number), [1, 2, 3]);
});

test('a final refusal is told, and the message can be sent again as a new one', async () => {
  const w = world();
  const socket = await online(w);
  const command = w.client.send('user:bob', 'one');
  socket.next(Kind.SEND);
  await socket.say(sendack({ number: 1 }, 0, Reason.NOT_ALLOWED, [textTlv(Tlv.DETAIL, 'not you')]));
  assert.deepEqual(w.take('outgoing').map(({ state }) => state), ['refused', 'refused']);
  assert.deepEqual([command.state, command.reason, command.detail], ['refused', Reason.NOT_ALLOWED, 'not you']);
  w.client.retry(command);
  assert.deepEqual([socket.packets.length, socket.next(Kind.SEND).number], [1, 2]);
});

test('an expired sender: what was never on the wire goes under a new one, the rest is perhaps sent', async () => {
  const w = world();
  const first = await online(w);
  const doubtful = w.client.send('user:bob', 'doubtful');
  first.lose();
  const refused = w.client.send('user:bob', 'refused');
  await w.clock.pass(1000);
  const second = w.network.socket;
  await second.accept();
  await second.list([]);
  await second.say(sendack({ number: 1 }, 0, Reason.SENDER_EXPIRED), sendack({ number: 2 }, 0, Reason.SENDER_EXPIRED));
  const fresh = w.client.send('user:bob', 'fresh');
  assert.ok(second.isClosed);
  await w.clock.pass(0);
  const third = w.network.socket;
  const sender = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 8);
  const connect = await third.accept({ sender });
  assert.deepEqual([...connect.sender], [1, 0, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual([doubtful, refused, fresh].map(({ state }) => state), ['unsure', 'waiting', 'waiting']);
  const sends = third.packets.flatMap((packet) => (packet.kind === Kind.SEND ? [packet] : []));
  assert.deepEqual(sends.map(({ number, body }) => [number, new TextDecoder().decode(body)]), [[1, 'refused'], [2, 'fresh']]);
  w.take('outgoing');
  third.packets = third.packets.filter(({ kind }) => kind === Kind.LIST);
  await third.list([conversation({ head: 1 })]);
  const own = image(1, { from: { side: 0 }, sender: Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 7), number: 1 });
  await third.say(synced(third.next(Kind.SYNC), [1], { items: [{ image: encodeImage(own) }] }));
  assert.deepEqual(w.take('outgoing').map(({ id, state }) => [id, state]), [[doubtful.id, 'stored']]);
});

test('another sender than its own in CONNACK expires its own', async () => {
  const w = world();
  const socket = await online(w);
  const wired = w.client.send('user:bob', 'on the wire');
  socket.lose();
  const fresh = w.client.send('user:bob', 'fresh');
  await w.clock.pass(1000);
  await w.network.socket.accept({ sender: Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 9) });
  assert.deepEqual([wired, fresh].map(({ state, number }) => [state, number]), [['unsure', 1], ['waiting', 1]]);
  assert.deepEqual(w.network.socket.packets.flatMap((packet) => (packet.kind === Kind.SEND ? [packet.number] : [])), [1]);
});

test('a new epoch: forgets the channel and takes it from where LIST says', async () => {
  const w = world();
  const socket = await online(w, { head: 9, syncFrom: 9 });
  socket.lose();
  await w.clock.pass(1000);
  const again = w.network.socket;
  await again.accept();
  const list = await again.list([conversation({ epoch: 2, head: 12, syncFrom: 6 })]);
  assert.deepEqual([...list.token], [1]);
  assert.equal(w.take('reset').length, 1);
  const sync = again.next(Kind.SYNC);
  assert.deepEqual([sync.from, sync.to, sync.epoch], [7, 12, 2]);
});

test('a head below what it holds is another past, whatever the epoch says', async () => {
  const w = world();
  const socket = await online(w, { head: 9, syncFrom: 9 });
  socket.lose();
  await w.clock.pass(1000);
  const again = w.network.socket;
  await again.accept();
  await again.list([conversation({ head: 8, syncFrom: 6 })]);
  assert.equal(w.take('reset').length, 1);
  assert.deepEqual([again.next(Kind.SYNC)].map(({ from, to }) => [from, to]), [[7, 8]]);
});

test('a channel that a LIST of everything leaves out is forgotten', async () => {
  const w = world();
  const socket = await online(w, { head: 3, syncFrom: 3 });
  socket.lose();
  await w.clock.pass(1000);
  const again = w.network.socket;
  await again.accept();
  const { request } = again.next(Kind.LIST);
  await again.say({ kind: Kind.LISTED, request, reason: Reason.BAD_LIST_TOKEN, token: NOTHING, next: NOTHING, conversations: [], tlvs: [] });
  await again.list([]);
  assert.equal(w.take('reset').length, 1);
  assert.deepEqual(w.client.conversations, []);
  assert.deepEqual(world({ storage: w.storage }).client.conversations, []);
});

test('EPOCH_MISMATCH: forgets the channel, pauses, and lists everything', async () => {
  const w = world();
  const socket = await online(w, { head: 3, syncFrom: 0 });
  await socket.say(synced(socket.next(Kind.SYNC), [], { reason: Reason.EPOCH_MISMATCH, from: 0, to: 0 }));
  assert.equal(w.take('reset').length, 1);
  assert.equal(socket.packets.length, 0);
  await w.clock.pass(1000);
  const list = await socket.list([conversation({ epoch: 5, head: 2, syncFrom: 0 })]);
  assert.equal(list.token.length, 0);
  const sync = socket.next(Kind.SYNC);
  assert.deepEqual([sync.epoch, sync.from, sync.to], [5, 1, 2]);
});

test('LAG: lists from the last token and pulls what is missing', async () => {
  const w = world();
  const socket = await online(w);
  await socket.say({ kind: Kind.LAG, dropped: 3, tlvs: [] });
  await socket.list([conversation({ head: 3 })], 2);
  const sync = socket.next(Kind.SYNC);
  assert.deepEqual([sync.from, sync.to], [1, 3]);
});

test('LIST goes page by page, and keeps its token only when the last page is in', async () => {
  const w = world();
  w.client.connect();
  await settled();
  const { socket } = w.network;
  await socket.accept();
  const first = socket.next(Kind.LIST);
  const page = { kind: Kind.LISTED, reason: Reason.OK, token: Uint8Array.of(9), tlvs: [] };
  await socket.say({ ...page, request: first.request, next: Uint8Array.of(4), conversations: [conversation({ head: 1 })] });
  const second = socket.next(Kind.LIST);
  assert.deepEqual([[...second.token], [...second.page]], [[], [4]]);
  assert.equal(socket.packets.length, 0, 'no SYNC before the list is complete');
  socket.lose();
  await w.clock.pass(1000);
  const again = w.network.socket;
  await again.accept();
  assert.equal(again.next(Kind.LIST).token.length, 0);
});

test('a list token that the server does not know is given up', async () => {
  const w = world();
  const socket = await online(w);
  socket.lose();
  await w.clock.pass(1000);
  const again = w.network.socket;
  await again.accept();
  const list = again.next(Kind.LIST);
  await again.say({ kind: Kind.LISTED, request: list.request, reason: Reason.BAD_LIST_TOKEN, token: NOTHING, next: NOTHING, conversations: [], tlvs: [] });
  assert.equal(again.next(Kind.LIST).token.length, 0);
});

test('REPLACED is the end', async () => {
  const w = world();
  const socket = await online(w);
  await socket.say({ kind: Kind.DISCONNECT, reason: Reason.REPLACED, tlvs: [] });
  assert.equal(w.client.phase, 'replaced');
  await w.clock.pass(600_000);
  assert.equal(w.network.sockets.length, 1);
  assert.throws(() => w.client.send('user:bob', 'x'), /replaced/);
});

test('a close code stands for the DISCONNECT that did not arrive', async () => {
  const w = world();
  const socket = await online(w);
  socket.lose(4000 + Reason.REPLACED);
  assert.equal(w.client.phase, 'replaced');
});

test('a second client on the same storage ends the first', async () => {
  const w = world();
  const socket = await online(w);
  const other = world({ storage: w.storage });
  other.client.connect();
  await settled();
  assert.throws(() => w.client.send('user:bob', 'x'), /another client/);
  assert.equal(w.client.phase, 'replaced');
  assert.ok(socket.isClosed);
});

test('connects again after 1 s, doubled up to 30 s, and starts over when it has worked', async () => {
  const w = world();
  w.client.connect();
  await settled();
  const waits = [];
  for (let n = 0; n < 7; n += 1) {
    w.network.socket.lose();
    const { retryMs } = w.take('state').at(-1);
    waits.push(retryMs);
    await w.clock.pass(retryMs);
  }
  assert.deepEqual(waits, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  await w.network.socket.accept();
  await w.network.socket.list([]);
  w.network.socket.lose();
  assert.equal(w.take('state').at(-1).retryMs, 1000);
});

test('comes back no sooner than the server asked', async () => {
  const w = world();
  const socket = await online(w);
  const tlvs = [{ tag: Tlv.RETRY_AFTER_MS, value: Uint8Array.of(0, 0, 0x27, 0x10) }];
  await socket.say({ kind: Kind.DISCONNECT, reason: Reason.SHUTDOWN, tlvs });
  assert.ok(w.take('state').at(-1).retryMs >= 10_000);
});

test('a refused token is asked for again, unless it is a fixed one', async () => {
  for (const [token, phase] of /** @type {const} */ ([['fixed', 'refused'], [() => 'new', 'waiting']])) {
    const w = world({ token });
    w.client.connect();
    await settled();
    await w.network.socket.accept({ reason: Reason.TOKEN_EXPIRED, user: '' });
    assert.equal(w.client.phase, phase);
  }
});

test('an app that has no token in time is asked again', async () => {
  /** @type {((token: string) => void)[]} */
  const asked = [];
  const w = world({ token: () => new Promise((resolve) => asked.push(resolve)) });
  w.client.connect();
  await w.clock.pass(10_000);
  assert.equal(w.client.phase, 'waiting');
  asked[0]('late');
  await w.clock.pass(1000);
  assert.equal(w.network.sockets.length, 0);
  asked[1]('in time');
  await settled();
  const connect = await w.network.socket.accept();
  assert.equal(new TextDecoder().decode(connect.token), 'in time');
});

test('a token of another user is refused before anything is sent', async () => {
  const w = world();
  w.client.send('user:bob', 'for bob, from alice');
  w.client.connect();
  await settled();
  await w.network.socket.accept({ user: 'mallory' });
  assert.equal(w.client.phase, 'refused');
  assert.ok(w.network.socket.packets.every(({ kind }) => kind === Kind.DISCONNECT));
});

test('heartbeats: PING when it is silent, the end when the server is', async () => {
  const w = world();
  const socket = await online(w);
  await w.clock.pass(30_000);
  socket.next(Kind.PING);
  await socket.say({ kind: Kind.PONG, tlvs: [] });
  await w.clock.pass(30_000);
  socket.next(Kind.PING);
  await w.clock.pass(60_000);
  assert.equal(w.client.phase, 'waiting');
});

test('a nudge finds out within 5 s whether the connection lives, and ends a wait', async () => {
  const w = world();
  const socket = await online(w);
  w.client.nudge();
  socket.next(Kind.PING);
  await w.clock.pass(5000);
  assert.equal(w.client.phase, 'waiting');
  w.client.nudge();
  await settled();
  assert.equal(w.network.sockets.length, 2);
});

test('groups: a change is a command, and its image is pulled', async () => {
  const w = world();
  const socket = await online(w);
  const made = w.client.groups.create('team', ['bob']);
  const call = socket.next(Kind.CALL);
  assert.deepEqual([call.method, call.number, call.oldest], [Method.GROUP_CREATE, 1, 1]);
  await socket.say({ kind: Kind.REPLY, request: call.request, reason: Reason.OK, seq: 1, timeMs: 5, fields: NOTHING, tlvs: [] });
  assert.deepEqual(await made, { seq: 1, timeMs: 5 });
  await socket.list([conversation({ channel: groupChannel('team'), head: 1 })]);
  assert.deepEqual(socket.next(Kind.SYNC).channel, groupChannel('team'));
});

test('a refused change throws', async () => {
  const w = world();
  const socket = await online(w);
  const refused = assert.rejects(w.client.groups.create('team', []), { name: 'Refused', reason: Reason.ALREADY_EXISTS });
  const call = socket.next(Kind.CALL);
  await socket.say({ kind: Kind.REPLY, request: call.request, reason: Reason.ALREADY_EXISTS, seq: 0, timeMs: 0, fields: NOTHING, tlvs: [] });
  await refused;
});

test('history is asked for below what is there, over lost connections too', async () => {
  const w = world();
  const socket = await online(w, { head: 100, syncFrom: 100 });
  const asked = w.client.history(CHANNEL, 101, 3);
  assert.deepEqual([socket.next(Kind.SYNC)].map(({ from, to }) => [from, to]), [[98, 100]]);
  socket.lose();
  await w.clock.pass(1000);
  const again = w.network.socket;
  await again.accept();
  await again.list([]);
  const sync = again.next(Kind.SYNC);
  await again.say(synced(sync, [98, 99, 100]));
  assert.deepEqual((await asked).map((item) => 'image' in item && item.image.seq), [98, 99, 100]);
  assert.equal(w.take('message').length, 0, 'history is not new');
});

test('unread: countable, from others, above the read mark; the mark moves by a command', async () => {
  const w = world();
  const socket = await online(w);
  await socket.say(recv(1), recv(2), recv(3, { flags: 0 }), recv(4));
  const [stream] = w.client.conversations;
  assert.deepEqual([stream.unread, stream.firstUnread], [3, 1]);
  socket.packets.splice(0);
  w.client.markRead(CHANNEL, 2);
  assert.deepEqual([stream.unread, stream.firstUnread], [1, 4]);
  const call = socket.next(Kind.CALL);
  assert.equal(call.method, Method.READ);
  w.client.markRead(CHANNEL, 2);
  assert.equal(socket.packets.length, 0);
});

test('conversations, cursors and the list token survive a restart', async () => {
  const w = world();
  const socket = await online(w);
  await socket.say(recv(1), recv(2));
  const next = world({ storage: w.storage });
  assert.deepEqual(next.client.conversations.map(({ cursor, unread, last }) => [cursor, unread, last?.seq]), [[2, 2, 2]]);
  next.client.connect();
  await settled();
  await next.network.socket.accept();
  assert.deepEqual([...(await next.network.socket.list([])).token], [1]);
  await next.network.socket.say(recv(2), recv(3));
  assert.deepEqual(seqs(next.take('message')), [3]);
});

test('what can never be sent is refused before it is kept', async () => {
  const w = world();
  await online(w);
  assert.throws(() => w.client.send('user:bob', new Uint8Array(65_537)), RangeError);
  assert.throws(() => w.client.send('bob', 'x'), RangeError);
  assert.throws(() => w.client.send({ kind: 2, ids: ['not an id'] }, 'x'), RangeError);
  assert.deepEqual(w.client.outgoing, []);
});
