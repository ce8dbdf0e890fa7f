// @ts-check
// Every golden vector of protocol/vectors, in both directions.

import assert from 'node:assert/strict';
import test from 'node:test';

import * as codec from '../codec.js';
import { GapReason, Kind, Reason } from '../registry.js';
import { bytesOf, hexOf, vectors } from './golden.js';

/** @param {Record<string, number>} names @param {number} number */
function nameOf(names, number) {
  return Object.keys(names).find((name) => names[name] === number);
}

const KINDS = /** @type {Record<string, number>} */ (Kind);
const REASONS = /** @type {Record<string, number>} */ (Reason);
const GAPS = /** @type {Record<string, number>} */ (GapReason);

/** What the vectors say, as this client says it: camel case, bytes, numbers for names. @param {any} value @param {string} [field] @returns {any} */
function ours(value, field = '') {
  if (typeof value === 'string') {
    if (field === 'kind') return KINDS[value];
    if (field === 'reason') return REASONS[value];
    if (field === 'why') return GAPS[value];
    return ['user', 'device', 'ids', 'group', 'users', 'after'].includes(field) ? value : bytesOf(value);
  }
  if (Array.isArray(value)) return value.map((item) => ours(item, field));
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value).map(([name, item]) => {
    const camel = name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
    return [camel, ours(item, name)];
  });
  const { heartbeatMs, deadMs, frameBytes, bodyBytes, syncPage, ...rest } = Object.fromEntries(entries);
  if (heartbeatMs === undefined) return Object.fromEntries(entries);
  return { ...rest, limits: { heartbeatMs, deadMs, frameBytes, bodyBytes, syncPage } };
}

/** @param {unknown} value plain data: byte fields as hex, so that views and copies compare @returns {any} */
function plain(value) {
  if (value instanceof Uint8Array) return hexOf(value);
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, plain(item)]));
}

/** @param {Uint8Array[]} pieces */
function decodeStream(pieces) {
  const decoder = new codec.Decoder();
  const packets = [];
  try {
    for (const piece of pieces) {
      decoder.feed(piece);
      for (let frame = decoder.next(); frame !== null; frame = decoder.next()) {
        const packet = codec.decodePacket(frame);
        if (packet !== null) packets.push(packet);
      }
    }
  } catch (error) {
    if (!(error instanceof codec.CodecError)) throw error;
    return { packets, error: nameOf(REASONS, error.reason) ?? null, partial: false };
  }
  return { packets, error: null, partial: decoder.isPartial };
}

for (const { name, hex, packet } of vectors('packets')) {
  test(`packet: ${name}`, () => {
    const decoder = new codec.Decoder();
    decoder.feed(bytesOf(hex));
    const frame = decoder.next();
    assert.ok(frame !== null && !decoder.isPartial);
    const decoded = codec.decodePacket(frame);
    assert.deepEqual(plain(decoded), plain(ours(packet)));
    if (packet !== null) assert.equal(hexOf(codec.encodePacket(ours(packet))), hexOf(bytesOf(hex)));
  });
}

for (const { name, hex, error } of vectors('malformed')) {
  test(`malformed: ${name}`, () => {
    assert.equal(decodeStream([bytesOf(hex)]).error, error);
  });
}

for (const { name, hex, image } of vectors('images').valid) {
  test(`image: ${name}`, () => {
    assert.deepEqual(plain(codec.decodeImage(bytesOf(hex))), plain(ours(image)));
    assert.equal(hexOf(codec.encodeImage(ours(image))), hexOf(bytesOf(hex)));
  });
}

for (const { name, hex } of vectors('images').malformed) {
  test(`malformed image: ${name}`, () => {
    assert.throws(() => codec.decodeImage(bytesOf(hex)), { name: 'CodecError', reason: Reason.MALFORMED });
  });
}

for (const { user, address, tenant, channel, hex, slot } of vectors('channels').valid) {
  test(`channel: ${address} of ${user} in tenant ${tenant}`, () => {
    assert.deepEqual(codec.decodeChannel(bytesOf(hex)), channel);
    assert.equal(hexOf(codec.encodeChannel(channel)), hexOf(bytesOf(hex)));
    assert.equal(codec.slotOf(channel, tenant), slot);
    assert.equal(codec.addressOf(channel, user), address);
    if (channel.kind !== codec.ChannelKind.USER) assert.deepEqual(codec.channelOf(address, user), channel);
  });
}

for (const { name, hex } of vectors('channels').malformed) {
  test(`malformed channel: ${name}`, () => {
    assert.throws(() => codec.decodeChannel(bytesOf(hex)), { name: 'CodecError', reason: Reason.MALFORMED });
  });
}

test('ids', () => {
  for (const { text, valid } of vectors('channels').ids) assert.equal(codec.isId(text), valid, JSON.stringify(text));
});

test('addresses', () => {
  for (const { text, valid } of vectors('channels').addresses) {
    assert.equal(codec.channelOf(text, 'alice') !== null, valid, JSON.stringify(text));
  }
});

for (const { name, pieces, packets, error, partial } of vectors('streams')) {
  test(`stream: ${name}`, () => {
    const got = decodeStream(pieces.map(bytesOf));
    assert.deepEqual(got.packets.map(plain), ours(packets).map(plain));
    assert.equal(got.error, error);
    if (error === null) assert.equal(got.partial, partial);
  });
}

test('frames come out the same however the stream is cut', () => {
  const whole = new Uint8Array(Buffer.concat(
    vectors('packets').map((/** @type {{ hex: string }} */ { hex }) => bytesOf(hex)).filter((/** @type {Uint8Array} */ frame) => frame.length < 5000),
  ));
  const expected = decodeStream([whole]).packets.map(plain);
  assert.ok(expected.length > 20);
  let random = 7;
  for (let longest = 1; longest < 300; longest += 23) {
    const pieces = [];
    for (let at = 0; at < whole.length;) {
      random = (random * 1103515245 + 12345) % 2147483648;
      const end = at + 1 + (random % longest);
      pieces.push(whole.subarray(at, end));
      at = end;
    }
    assert.deepEqual(decodeStream(pieces).packets.map(plain), expected, `pieces of up to ${longest}`);
  }
});

test('what cannot be spelled is not encoded', () => {
  const channel = codec.personChannel('alice', 'bob');
  const send = { kind: Kind.SEND, number: 1, oldest: 1, channel, flags: 0, body: new Uint8Array(0), tlvs: [] };
  const bad = [
    { ...send, number: -1 },
    { ...send, number: 2 ** 53 },
    { ...send, flags: 0x10000 },
    { ...send, channel: { kind: 1, ids: ['bob', 'alice'] } },
    { ...send, channel: { kind: 2, ids: ['not an id'] } },
    { ...send, tlvs: [codec.textTlv(2, 'b'), codec.textTlv(1, 'a')] },
    { ...send, body: new Uint8Array(200_000) },
  ];
  for (const packet of bad) assert.throws(() => codec.encodePacket(packet), RangeError);
});
