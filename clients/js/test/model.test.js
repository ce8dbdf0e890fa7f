// @ts-check
// What the client makes of what it is told: messages that later entries change, unread counts, settings, notices.

import assert from 'node:assert/strict';
import test from 'node:test';

import { encodeTold, groupChannel, idsTlv, textTlv, u32Tlv, u64Tlv } from '../codec.js';
import { Refused } from '../client.js';
import { ImageFlag, ImageKind, Kind, Method, NoticeKind, Reason, Tlv } from '../registry.js';
import { FOR_EVER } from '../stream.js';
import { settled } from './fake-socket.js';
import { CHANNEL, conversation, image, online, recv, synced, world } from './world.js';

/** @typedef {import('../codec.js').Recv} Recv */

const NOTHING = new Uint8Array(0);
const UTF8 = new TextEncoder();
/** The side of alice, whose client it is. */
const OWN = { from: /** @type {{ side: 0 }} */ ({ side: 0 }) };

/** A message that is still empty of everything. @param {number} seq @param {Partial<import('../codec.js').Image>} [fields] */
const entry = (seq, fields) => recv(seq, { flags: 0, ...fields });
/** @param {number} seq @param {number} target @param {number} version @param {string} text */
const edited = (seq, target, version, text) => entry(seq, {
  kind: ImageKind.EDITED, tlvs: [u64Tlv(Tlv.TARGET, target), u32Tlv(Tlv.VERSION, version)], body: UTF8.encode(text),
});
/** @param {number} seq @param {number} target */
const revoked = (seq, target) => entry(seq, { kind: ImageKind.REVOKED, tlvs: [u64Tlv(Tlv.TARGET, target)], body: NOTHING });
/** @param {number} seq @param {number} target @param {boolean} isOn @param {string} what @param {Partial<import('../codec.js').Image>} [fields] */
const reacted = (seq, target, isOn, what, fields) => entry(seq, {
  kind: ImageKind.REACTED, tlvs: [u64Tlv(Tlv.TARGET, target)], body: Uint8Array.of(isOn ? 1 : 0, ...UTF8.encode(what)), ...fields,
});
/** @param {number} seq @param {number} target @param {boolean} isOn */
const pinned = (seq, target, isOn) => entry(seq, {
  kind: ImageKind.PINNED, tlvs: [u64Tlv(Tlv.TARGET, target)], body: Uint8Array.of(isOn ? 1 : 0),
});
/** @param {import('../codec.js').Told} told @param {import('../image.js').TlvField[]} [tlvs] @returns {import('../codec.js').Notice} */
const notice = (told, tlvs = []) => ({ kind: Kind.NOTICE, what: told.what, fields: encodeTold(told), tlvs });
/** @param {any} call @param {Uint8Array} [fields] @param {number} [reason] @returns {import('../codec.js').Reply} */
const reply = (call, fields = NOTHING, reason = Reason.OK) => ({
  kind: Kind.REPLY, request: call.request, reason, seq: 0, timeMs: 1, fields, tlvs: [],
});

/** @param {ReturnType<typeof world>} w @param {number} seq */
const made = (w, seq) => w.client.made(CHANNEL, seq);
/** @param {ReturnType<typeof world>} w @param {number} seq */
const reactions = (w, seq) => made(w, seq)?.reactions.map(({ reaction, count, own }) => `${reaction}${count}${own ? '!' : ''}`).join(' ');

test('an edit replaces the content, and the newest version stands', async () => {
  const w = world();
  const socket = await online(w);
  await socket.say(recv(1), edited(2, 1, 1, 'first'), edited(3, 1, 2, 'second'));
  assert.equal(new TextDecoder().decode(made(w, 1)?.edit?.body), 'second');
  assert.equal(made(w, 1)?.version, 2);
  assert.deepEqual(w.take('made').map(({ seq, image: { seq: by } }) => [seq, by]), [[1, 2], [1, 3]]);
  assert.equal(new TextDecoder().decode(w.client.conversations[0].last?.body), 'second', 'the preview follows');
});

test('a message that was taken back has no content, no reactions, and counts no more', async () => {
  const w = world();
  const socket = await online(w);
  await socket.say(recv(1), recv(2), reacted(3, 1, true, '👍'), revoked(4, 1));
  assert.deepEqual([made(w, 1)?.erased, made(w, 1)?.erasedBy, reactions(w, 1)], [true, 'bob', '']);
  assert.equal(w.client.conversations[0].unread, 1);
  await socket.say(edited(5, 1, 1, 'again'), reacted(6, 1, true, '👍'));
  assert.deepEqual([made(w, 1)?.erased, made(w, 1)?.edit, reactions(w, 1)], [true, null, '']);
});

test('the preview of a conversation says that its last message was taken back', async () => {
  const w = world();
  const socket = await online(w);
  await socket.say(recv(1), recv(2), revoked(3, 2));
  const { last } = w.client.conversations[0];
  assert.deepEqual([last?.seq, last?.body.length, (last?.flags ?? 0) & ImageFlag.ERASED], [2, 0, ImageFlag.ERASED]);
});

test('a revocation that comes before its message is applied when that comes', async () => {
  const w = world();
  const socket = await online(w, { head: 9, syncFrom: 9 });
  await socket.say(revoked(10, 4), reacted(11, 5, true, '👍'));
  assert.equal(made(w, 4)?.erased, true, 'known before the message is');
  // The server answered before it knew of the two.
  const history = w.client.history(CHANNEL, 6, 2);
  await settled();
  const sync = socket.packets.splice(0).find(({ kind }) => kind === Kind.SYNC);
  await socket.say(synced(sync, [4, 5], { head: 9 }));
  await history;
  assert.equal(made(w, 4)?.erased, true);
  assert.equal(reactions(w, 5), '👍1');
});

test('what SYNC tells of a message stands as of its head, and live entries go on from there', async () => {
  const w = world();
  const socket = await online(w, { head: 5, syncFrom: 0 });
  const sync = socket.next(Kind.SYNC);
  const told = { made: { seq: 1, edit: 3, version: 1, pinned: true, answers: 2, answered: 2, reactions: [{ reaction: UTF8.encode('👍'), count: 2, own: true }] } };
  const answer = synced(sync, [1, 2, 3], { head: 5 });
  answer.items.push(told);
  await socket.say(answer);
  assert.deepEqual([reactions(w, 1), made(w, 1)?.version, made(w, 1)?.pinned], ['👍2!', 1, true]);
  // These two are in what was told.
  const rest = socket.packets.find(({ kind }) => kind === Kind.SYNC);
  await socket.say(synced(rest, [], { head: 5, to: 5, items: [4, 5].map((seq) => ({ gap: { from: seq, to: seq, why: 2 } })) }));
  await socket.say(reacted(6, 1, true, '👍'), reacted(7, 1, false, '👍', OWN), reacted(8, 1, true, '❤️', OWN), pinned(9, 1, false));
  assert.deepEqual([reactions(w, 1), made(w, 1)?.pinned], ['👍2 ❤️1!', false]);
  await socket.say(reacted(10, 1, false, '❤️', OWN));
  assert.equal(reactions(w, 1), '👍2');
  assert.equal(made(w, 1)?.answers, 2);
  await socket.say(recv(11, { flags: ImageFlag.COUNTABLE | ImageFlag.THREADED, tlvs: [u64Tlv(Tlv.THREAD, 1)] }));
  assert.equal(made(w, 1)?.answers, 3);
});

test('an answer to LIST tells the unread number; what comes by SYNC is part of it, what comes live is added', async () => {
  const w = world();
  const socket = await online(w, { head: 6, syncFrom: 4, read: 1, unread: 5, mentions: 1 });
  const stream = w.client.conversations[0];
  assert.deepEqual([stream.unread, stream.mentions, stream.firstUnread], [5, 1, 2]);
  const sync = socket.next(Kind.SYNC);
  await socket.say(synced(sync, [5, 6]));
  assert.deepEqual([stream.unread, stream.mentions], [5, 1]);
  const mention = { flags: ImageFlag.COUNTABLE | ImageFlag.MENTIONS, tlvs: [idsTlv(Tlv.MENTIONS, ['alice'])] };
  await socket.say(recv(7), recv(8, mention), recv(9, OWN), entry(10));
  assert.deepEqual([stream.unread, stream.mentions], [7, 2]);
  w.client.markRead(CHANNEL, 7);
  assert.deepEqual([stream.unread, stream.mentions, stream.firstUnread], [1, 1, 8]);
  w.client.markRead(CHANNEL, 10);
  assert.deepEqual([stream.unread, stream.mentions, stream.firstUnread], [0, 0, 0]);
});

test('settings are those of LIST until they are set, here or on another device', async () => {
  const w = world();
  const socket = await online(w, { flags: 4 + 16, mutedUntilMs: FOR_EVER });
  const stream = w.client.conversations[0];
  assert.deepEqual([stream.pinned, stream.markedUnread, stream.hidden, stream.mutedUntilMs], [true, true, false, FOR_EVER]);
  const done = w.client.setConversation(CHANNEL, { pinned: false, mutedUntilMs: 0 });
  await settled();
  const call = socket.next(Kind.CALL);
  assert.equal(call.method, Method.CONVERSATION_SET);
  assert.equal(stream.pinned, true, 'not before it is done');
  await socket.say(reply(call));
  await done;
  assert.deepEqual([stream.pinned, stream.mutedUntilMs], [false, 0]);
  await socket.say(notice(
    { what: NoticeKind.CONVERSATION, channel: CHANNEL, read: 0, from: 0, to: 0, blocks: true, contact: 0, waiting: 0 },
    [u32Tlv(Tlv.HIDDEN, 1)],
  ));
  assert.deepEqual([stream.hidden, stream.blocked], [true, true]);
  await socket.say(recv(1));
  assert.equal(stream.hidden, false, 'something new shows it again');
});

test('reading on another device ends unread and the mark', async () => {
  const w = world();
  const socket = await online(w, { flags: 16 });
  await socket.say(recv(1), recv(2));
  const stream = w.client.conversations[0];
  await socket.say(notice({ what: NoticeKind.CONVERSATION, channel: CHANNEL, read: 2, from: 0, to: 0, blocks: false, contact: 0, waiting: 0 }));
  assert.deepEqual([stream.unread, stream.markedUnread, stream.read], [0, false, 2]);
});

test('what the user deletes for themselves counts no more, and the app is told', async () => {
  const w = world();
  const socket = await online(w);
  await socket.say(recv(1), recv(2), recv(3));
  socket.packets.splice(0);
  const done = w.client.messages.hide(CHANNEL, 2, 3);
  await settled();
  const call = socket.next(Kind.CALL);
  assert.equal(call.method, Method.HIDE);
  await socket.say(reply(call));
  await done;
  assert.deepEqual(w.take('hidden'), [{ channel: CHANNEL, from: 2, to: 3 }]);
  assert.equal(w.client.conversations[0].unread, 1);
});

test('who writes is forgotten after six seconds, and when their message comes', async () => {
  const w = world();
  const socket = await online(w);
  const writes = notice({ what: NoticeKind.TYPING, channel: CHANNEL, user: 'bob', isWriting: true });
  await socket.say(writes);
  assert.deepEqual(w.client.live.typingIn(CHANNEL), ['bob']);
  await w.clock.pass(5999);
  await socket.say(writes);
  await w.clock.pass(5999);
  assert.deepEqual(w.client.live.typingIn(CHANNEL), ['bob'], 'said again');
  await w.clock.pass(1);
  assert.deepEqual(w.client.live.typingIn(CHANNEL), []);
  await socket.say(writes, recv(1));
  assert.deepEqual(w.client.live.typingIn(CHANNEL), []);
  assert.deepEqual(w.take('typing').map(({ users }) => users.length), [1, 1, 0, 1, 0]);
});

test('writing is said at most every three seconds, and its end once', async () => {
  const w = world();
  const socket = await online(w);
  socket.packets.splice(0);
  for (let letter = 0; letter < 7; letter += 1) {
    w.client.live.typing(CHANNEL, true);
    await w.clock.pass(1000);
  }
  w.client.live.typing(CHANNEL, false);
  w.client.live.typing(CHANNEL, false);
  const notices = socket.packets.filter(({ kind }) => kind === Kind.NOTICE);
  assert.deepEqual(notices.map((packet) => 'fields' in packet && packet.fields.at(-1)), [1, 1, 1, 0]);
});

test('presence is asked for anew by each connection, and unknown without one', async () => {
  const w = world();
  const socket = await online(w);
  socket.packets.splice(0);
  w.client.live.watchPresence(['bob']);
  await settled();
  const call = socket.next(Kind.CALL);
  assert.equal(call.method, Method.PRESENCE);
  const fields = encodeTold({ what: NoticeKind.PRESENCE, users: [{ user: 'bob', state: 1, lastSeenMs: 0, platforms: ['web'] }] });
  await socket.say(reply(call, fields));
  assert.equal(w.client.live.presenceOf('bob').state, 1);
  await socket.say(notice({ what: NoticeKind.PRESENCE, users: [{ user: 'bob', state: 0, lastSeenMs: 7, platforms: [] }] }));
  assert.deepEqual([w.client.live.presenceOf('bob').state, w.client.live.presenceOf('bob').lastSeenMs], [0, 7]);
  socket.lose();
  assert.equal(w.client.live.presenceOf('bob').state, 2);
  await w.clock.pass(2000);
  const next = w.network.socket;
  await next.accept();
  await next.list([]);
  assert.equal(next.next(Kind.CALL).method, Method.PRESENCE);
});

test('marks of others only move forward', async () => {
  const w = world();
  const socket = await online(w);
  const told = (/** @type {number} */ delivered, /** @type {number} */ read) => notice({ what: NoticeKind.RECEIPT, channel: CHANNEL, marks: [{ user: 'bob', delivered, read }] });
  await socket.say(told(5, 0), told(0, 3), told(4, 1));
  assert.deepEqual(w.client.live.markOf(CHANNEL, 'bob'), { delivered: 5, read: 3 });
  assert.equal(w.take('receipt').length, 3);
});

test('a message can answer, mention and go away', async () => {
  const w = world();
  const socket = await online(w);
  socket.packets.splice(0);
  w.client.send('group:team', 'x', { replyTo: 3, mentions: ['zoe', 'bob', 'bob'], mentionAll: true, lifetimeMs: 9 });
  const send = socket.next(Kind.SEND);
  assert.equal(send.flags, ImageFlag.COUNTABLE | ImageFlag.MENTIONS | ImageFlag.MENTION_ALL);
  assert.deepEqual(send.tlvs, [
    textTlv(Tlv.CONTENT_TYPE, 'text/plain'), u64Tlv(Tlv.REPLY_TO, 3), { tag: Tlv.MENTIONS, value: UTF8.encode('\x03bob\x03zoe') },
    u64Tlv(Tlv.LIFETIME_MS, 9),
  ]);
});

test('joining and leaving, being invited, the end of a group', async () => {
  const w = world();
  const socket = await online(w);
  const channel = groupChannel('team');
  await socket.say({
    kind: Kind.LISTED, request: 0, reason: Reason.OK, token: NOTHING, next: NOTHING, conversations: [], tlvs: [],
  });
  w.client.refresh();
  await socket.list([conversation({ channel, flags: 32 })]);
  const stream = w.client.conversation(channel);
  assert.equal(stream?.invited, true);
  const of = (/** @type {number} */ seq, /** @type {number} */ kind, /** @type {string} */ body) => entry(seq, {
    channel, kind, from: { user: 'alice' }, body: UTF8.encode(body),
  });
  await socket.say(of(1, ImageKind.MEMBERS_JOINED, '\0\x01\x05alice'));
  assert.equal(stream?.invited, false);
  await socket.say(of(2, ImageKind.GROUP_DISMISSED, ''));
  assert.equal(stream?.dismissed, true);
});

test('a change that is refused throws, and is not done again', async () => {
  const w = world();
  const socket = await online(w);
  socket.packets.splice(0);
  const done = assert.rejects(w.client.messages.revoke(CHANNEL, 1), (error) => error instanceof Refused && error.reason === Reason.TOO_LATE);
  await settled();
  await socket.say(reply(socket.next(Kind.CALL), NOTHING, Reason.TOO_LATE));
  await done;
  assert.equal(socket.packets.length, 0);
});

test('an old run may not have told what was made of a message: the image says what it can', async () => {
  const w = world();
  const socket = await online(w, { head: 2, syncFrom: 0 });
  const sync = socket.next(Kind.SYNC);
  const gone = image(1, { flags: ImageFlag.COUNTABLE | ImageFlag.ERASED, body: NOTHING });
  const { encodeImage } = await import('../codec.js');
  await socket.say(synced(sync, [], { to: 2, items: [{ image: encodeImage(gone) }, { image: encodeImage(image(2)) }] }));
  assert.equal(made(w, 1)?.erased, true);
  assert.equal(w.client.conversations[0].unread, 1);
});

test('an invitation that is over is forgotten', async () => {
  const w = world();
  const socket = await online(w);
  const channel = groupChannel('team');
  w.client.refresh();
  await socket.list([conversation({ channel, flags: 2 + 32 })]);
  assert.equal(w.client.conversation(channel)?.invited, true);
  w.client.refresh();
  await socket.list([conversation({ channel, flags: 2 })]);
  assert.equal(w.client.conversation(channel), null);
});

test('a device that its user removed does not come back by itself', async () => {
  const w = world();
  const socket = await online(w);
  await socket.say({ kind: Kind.DISCONNECT, reason: Reason.DEVICE_REMOVED, tlvs: [] });
  assert.equal(w.client.phase, 'refused');
  await w.clock.pass(60_000);
  assert.equal(w.network.sockets.length, 1);
});
