// @ts-check
// The fields of the methods about messages that the server is to send at a given time.

import { readSwitch } from './elements.js';
import { decode, encode, readBody, readCommandId, writeCommandId } from './fields.js';
import { readSharedChannel, readTlvs, writeChannel, writeTlvs } from './image.js';
import { Limits } from './registry.js';
import { Reader, Writer, readCounted, writeCounted } from './wire.js';

/**
 * @typedef {import('./image.js').Channel} Channel
 * @typedef {import('./image.js').TlvField} TlvField
 * @typedef {import('./fields.js').CommandId} CommandId
 * @typedef {{ dueMs: number, flags: number, body: Uint8Array }} Plan
 * @typedef {{ id: CommandId, plan: Plan, tlvs: TlvField[], refused: number }} Scheduled `refused`: why it was not sent when
 *   its time had come; 0 while it waits
 */

/** @param {Reader} r @returns {Plan} */
function readPlan(r) {
  const dueMs = r.u64('due_ms');
  const flags = r.u16('flags');
  return { dueMs, flags, body: readBody(r) };
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
  return decode(fields, (r) => ({ channel: readSharedChannel(r), id: readCommandId(r), plan: readPlan(r) }));
}

/** @param {Channel} channel @param {CommandId} id @param {Plan} plan */
export function encodeScheduleEdit(channel, id, plan) {
  return encode((w) => {
    writeChannel(w, channel);
    writeCommandId(w, id);
    writePlan(w, plan);
  });
}

/** The fields of SCHEDULE_CANCEL and of SCHEDULED. @param {Uint8Array} fields */
export function decodeScheduleNamed(fields) {
  return decode(fields, (r) => ({ channel: readSharedChannel(r), id: readCommandId(r) }));
}

/** @param {Channel} channel @param {CommandId} id of SCHEDULED the last one of the page before */
export function encodeScheduleNamed(channel, id) {
  return encode((w) => {
    writeChannel(w, channel);
    writeCommandId(w, id);
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
      writeCommandId(out, id);
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
  const [id, plan] = [readCommandId(r), readPlan(r)];
  const tlvs = readTlvs(new Reader(r.bytes16(Limits.TLV_BYTES, 'tlvs')));
  return { id, plan, tlvs, refused: r.u16('refused') };
}
