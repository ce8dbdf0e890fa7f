// @ts-check
// The fields of the methods about messages that the server is to send at a given time.

import { readSwitch } from './elements.js';
import { decode, encode } from './fields.js';
import { readOpaqueSender, readSharedChannel, readTlvs, writeChannel, writeSender, writeTlvs } from './image.js';
import { Limits } from './registry.js';
import { CodecError, Reader, Writer, readCounted, writeCounted } from './wire.js';

/**
 * @typedef {import('./image.js').Channel} Channel
 * @typedef {import('./image.js').TlvField} TlvField
 * @typedef {{ sender: Uint8Array, number: number }} ScheduleId those of the command that made it
 * @typedef {{ dueMs: number, flags: number, body: Uint8Array }} Plan
 * @typedef {{ id: ScheduleId, plan: Plan, tlvs: TlvField[], refused: number }} Scheduled `refused`: why it was not sent when
 *   its time had come; 0 while it waits
 */

/** Before all others. @type {ScheduleId} */
export const FIRST_SCHEDULED = Object.freeze({ sender: new Uint8Array(8), number: 0 });

/** @param {Reader} r @returns {ScheduleId} */
function readId(r) {
  return { sender: readOpaqueSender(r), number: r.u64('number') };
}

/** @param {Writer} w @param {ScheduleId} id */
function writeId(w, { sender, number }) {
  writeSender(w, sender);
  w.u64(number);
}

/** @param {Reader} r @returns {Plan} */
function readPlan(r) {
  const dueMs = r.u64('due_ms');
  const flags = r.u16('flags');
  const at = r.position;
  const body = r.bytes32('body');
  if (body.length > Limits.BODY_BYTES) throw new CodecError('body over 65,536 bytes', at);
  return { dueMs, flags, body };
}

/** @param {Writer} w @param {Plan} plan */
function writePlan(w, { dueMs, flags, body }) {
  w.u64(dueMs);
  w.u16(flags);
  w.bytes32(body);
}

/** The fields of SCHEDULE; the TLVs of the message are those of the CALL. @param {Uint8Array} fields */
export function decodeSchedule(fields) {
  return decode(fields, (r) => ({ channel: readSharedChannel(r), plan: readPlan(r) }));
}

/** @param {Channel} channel @param {Plan} plan */
export function encodeSchedule(channel, plan) {
  return encode((w) => {
    writeChannel(w, channel);
    writePlan(w, plan);
  });
}

/** The fields of SCHEDULE_EDIT. @param {Uint8Array} fields */
export function decodeScheduleEdit(fields) {
  return decode(fields, (r) => ({ channel: readSharedChannel(r), id: readId(r), plan: readPlan(r) }));
}

/** @param {Channel} channel @param {ScheduleId} id @param {Plan} plan */
export function encodeScheduleEdit(channel, id, plan) {
  return encode((w) => {
    writeChannel(w, channel);
    writeId(w, id);
    writePlan(w, plan);
  });
}

/** The fields of SCHEDULE_CANCEL and of SCHEDULED. @param {Uint8Array} fields */
export function decodeScheduleNamed(fields) {
  return decode(fields, (r) => ({ channel: readSharedChannel(r), id: readId(r) }));
}

/** @param {Channel} channel @param {ScheduleId} id of SCHEDULED the last one of the page before */
export function encodeScheduleNamed(channel, id) {
  return encode((w) => {
    writeChannel(w, channel);
    writeId(w, id);
  });
}

/** The answer of SCHEDULED. @param {Uint8Array} fields */
export function decodeScheduledPage(fields) {
  return decode(fields, (r) => ({ scheduled: readCounted(r, () => readScheduled(r)), more: readSwitch(r) }));
}

/** @param {Scheduled[]} scheduled @param {boolean} more */
export function encodeScheduledPage(scheduled, more) {
  return encode((w) => {
    writeCounted(w, scheduled, (out, { id, plan, tlvs, refused }) => {
      writeId(out, id);
      writePlan(out, plan);
      const own = new Writer();
      writeTlvs(own, tlvs);
      out.bytes16(own.finish());
      out.u16(refused);
    });
    w.u8(more ? 1 : 0);
  });
}

/** @param {Reader} r @returns {Scheduled} */
function readScheduled(r) {
  const [id, plan] = [readId(r), readPlan(r)];
  const tlvs = readTlvs(new Reader(r.bytes16(Limits.TLV_BYTES, 'tlvs')));
  return { id, plan, tlvs, refused: r.u16('refused') };
}
