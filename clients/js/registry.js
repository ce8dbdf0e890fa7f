// Generated from protocol/registry.toml by `cargo xtask generate`; do not edit.

/** The only wire version this client speaks. */
export const VERSION = 0;

/** Limits of the wire. */
export const Limits = Object.freeze({
  /** Header of a frame. */
  HEADER_BYTES: 10,
  /** Longest payload of a frame. */
  FRAME_PAYLOAD_BYTES: 131072,
  /** Longest payload of the first frame of a client. */
  CONNECT_PAYLOAD_BYTES: 16384,
  /** What a client may send behind CONNECT before CONNACK. */
  HELD_BYTES: 65536,
  /** Longest body of a message. */
  BODY_BYTES: 65536,
  /** Most TLVs of one frame or image. */
  TLV_COUNT: 32,
  /** Most bytes of all TLVs of one frame or image, with their tags and lengths. */
  TLV_BYTES: 8192,
  /** Longest id of a user, device or group. */
  ID_BYTES: 128,
  /** Longest token of CONNECT. */
  TOKEN_BYTES: 4096,
  /** Longest token and longest page of LIST. */
  LIST_TOKEN_BYTES: 4096,
  /** An answer with images stops before the image that would take its payload over this; it holds at least one. */
  ANSWER_BYTES: 65536,
  /** number − oldest is below this. */
  SEND_WINDOW: 64,
  /** LISTED cuts the body of a last image to this. */
  LIST_BODY_BYTES: 256,
  /** Most ids in one CALL or one membership image. */
  CALL_IDS: 100,
});

/** Kinds of frames. */
export const Kind = Object.freeze({
  /** The first frame: versions, token, device, sender. */
  CONNECT: 1,
  /** The answer to CONNECT: accepted with limits and timers, or refused. */
  CONNACK: 2,
  /** One message for one channel. */
  SEND: 3,
  /** The answer to one SEND. */
  SENDACK: 4,
  /** One image of a channel of the user. */
  RECV: 5,
  /** The device holds everything of the channel up to this seq. */
  RECVACK: 6,
  /** Answered by PONG. */
  PING: 7,
  /** The answer to PING. */
  PONG: 8,
  /** The last frame of a connection, with its reason. */
  DISCONNECT: 9,
  /** Asks for the conversations that changed since a token. */
  LIST: 10,
  /** One page of conversations, the answer to LIST. */
  LISTED: 11,
  /** Asks for a closed interval of seqs of one channel. */
  SYNC: 12,
  /** The images and gaps of an interval, the answer to SYNC. */
  SYNCED: 13,
  /** RECVs were dropped for this connection: LIST and SYNC. */
  LAG: 15,
  /** A request by method number. */
  CALL: 16,
  /** The answer to CALL. */
  REPLY: 17,
});

/** Reasons of answers and disconnects. */
export const Reason = Object.freeze({
  /** Done. */
  OK: 0,
  /** A frame or a field that does not follow the layout. */
  MALFORMED: 1,
  /** A frame longer than the limit. */
  FRAME_TOO_LARGE: 2,
  /** The checksum of a frame does not match. */
  BAD_CRC: 3,
  /** A frame of a kind that is not known and may not be ignored. */
  UNKNOWN_KIND: 4,
  /** A well-formed frame that is not allowed here. */
  PROTOCOL_VIOLATION: 5,
  /** No common version; CONNACK tells the server's range. */
  VERSION_UNSUPPORTED: 6,
  /** The token is not accepted. */
  UNAUTHENTICATED: 7,
  /** The token was good and is past its time. */
  TOKEN_EXPIRED: 8,
  /** A newer connection of the same device took over; no automatic reconnect. */
  REPLACED: 9,
  /** A frame, the CONNECT or a sign of life did not come in time. */
  TIMEOUT: 10,
  /** The connection had bytes waiting and took none for too long. */
  SLOW_CONSUMER: 11,
  /** The server is stopping. */
  SHUTDOWN: 12,
  /** Too much is waiting; says nothing about an earlier copy. */
  BUSY: 13,
  /** No space for what is to be stored; says nothing about an earlier copy. */
  STORAGE_FULL: 14,
  /** More than the user may send; says nothing about an earlier copy. */
  RATE_LIMITED: 15,
  /** The server failed. */
  INTERNAL: 16,
  /** The number lies below the floor of its sender; its answer is forgotten. */
  STALE: 20,
  /** The number is bound to another channel or content; the first one stands. */
  DEDUP_CONFLICT: 21,
  /** The server may have forgotten this sender; connect with a new one. */
  SENDER_EXPIRED: 22,
  /** No such channel for this user: it does not exist or the user is no member. */
  NO_CHANNEL: 23,
  /** The user's role does not allow it. */
  NOT_ALLOWED: 24,
  /** A message body longer than the limit; nothing was stored. */
  BODY_TOO_LARGE: 25,
  /** A critical TLV that the server does not know; nothing was stored. */
  UNKNOWN_CRITICAL: 26,
  /** The id is taken. */
  ALREADY_EXISTS: 27,
  /** The group would have more members than allowed. */
  TOO_MANY_MEMBERS: 28,
  /** A CALL of a method that is not known. */
  UNKNOWN_METHOD: 29,
  /** The channel's slot has a newer epoch, or the interval lies above its head: forget what is held of it and list again. */
  EPOCH_MISMATCH: 30,
  /** The list token is not one that this server gave to this user. */
  BAD_LIST_TOKEN: 31,
});

/** What each reason means, by number. */
export const ReasonInfo = Object.freeze({
  0: Object.freeze({ name: 'OK', fault: 'none', retry: 'no need', doc: 'Done.' }),
  1: Object.freeze({ name: 'MALFORMED', fault: 'client', retry: 'never', doc: 'A frame or a field that does not follow the layout.' }),
  2: Object.freeze({ name: 'FRAME_TOO_LARGE', fault: 'client', retry: 'never', doc: 'A frame longer than the limit.' }),
  3: Object.freeze({ name: 'BAD_CRC', fault: 'path', retry: 'reconnect', doc: 'The checksum of a frame does not match.' }),
  4: Object.freeze({ name: 'UNKNOWN_KIND', fault: 'client', retry: 'never', doc: 'A frame of a kind that is not known and may not be ignored.' }),
  5: Object.freeze({ name: 'PROTOCOL_VIOLATION', fault: 'client', retry: 'never', doc: 'A well-formed frame that is not allowed here.' }),
  6: Object.freeze({ name: 'VERSION_UNSUPPORTED', fault: 'client', retry: 'never', doc: 'No common version; CONNACK tells the server\'s range.' }),
  7: Object.freeze({ name: 'UNAUTHENTICATED', fault: 'client', retry: 'new token', doc: 'The token is not accepted.' }),
  8: Object.freeze({ name: 'TOKEN_EXPIRED', fault: 'client', retry: 'new token', doc: 'The token was good and is past its time.' }),
  9: Object.freeze({ name: 'REPLACED', fault: 'client', retry: 'terminal', doc: 'A newer connection of the same device took over; no automatic reconnect.' }),
  10: Object.freeze({ name: 'TIMEOUT', fault: 'client', retry: 'reconnect', doc: 'A frame, the CONNECT or a sign of life did not come in time.' }),
  11: Object.freeze({ name: 'SLOW_CONSUMER', fault: 'client', retry: 'reconnect', doc: 'The connection had bytes waiting and took none for too long.' }),
  12: Object.freeze({ name: 'SHUTDOWN', fault: 'server', retry: 'reconnect after retry_after_ms', doc: 'The server is stopping.' }),
  13: Object.freeze({ name: 'BUSY', fault: 'server', retry: 'after retry_after_ms', doc: 'Too much is waiting; says nothing about an earlier copy.' }),
  14: Object.freeze({ name: 'STORAGE_FULL', fault: 'server', retry: 'after retry_after_ms', doc: 'No space for what is to be stored; says nothing about an earlier copy.' }),
  15: Object.freeze({ name: 'RATE_LIMITED', fault: 'client', retry: 'after retry_after_ms', doc: 'More than the user may send; says nothing about an earlier copy.' }),
  16: Object.freeze({ name: 'INTERNAL', fault: 'server', retry: 'reconnect', doc: 'The server failed.' }),
  20: Object.freeze({ name: 'STALE', fault: 'client', retry: 'never', doc: 'The number lies below the floor of its sender; its answer is forgotten.' }),
  21: Object.freeze({ name: 'DEDUP_CONFLICT', fault: 'client', retry: 'never', doc: 'The number is bound to another channel or content; the first one stands.' }),
  22: Object.freeze({ name: 'SENDER_EXPIRED', fault: 'client', retry: 'new sender', doc: 'The server may have forgotten this sender; connect with a new one.' }),
  23: Object.freeze({ name: 'NO_CHANNEL', fault: 'client', retry: 'never', doc: 'No such channel for this user: it does not exist or the user is no member.' }),
  24: Object.freeze({ name: 'NOT_ALLOWED', fault: 'client', retry: 'never', doc: 'The user\'s role does not allow it.' }),
  25: Object.freeze({ name: 'BODY_TOO_LARGE', fault: 'client', retry: 'never', doc: 'A message body longer than the limit; nothing was stored.' }),
  26: Object.freeze({ name: 'UNKNOWN_CRITICAL', fault: 'client', retry: 'never', doc: 'A critical TLV that the server does not know; nothing was stored.' }),
  27: Object.freeze({ name: 'ALREADY_EXISTS', fault: 'client', retry: 'never', doc: 'The id is taken.' }),
  28: Object.freeze({ name: 'TOO_MANY_MEMBERS', fault: 'client', retry: 'never', doc: 'The group would have more members than allowed.' }),
  29: Object.freeze({ name: 'UNKNOWN_METHOD', fault: 'client', retry: 'never', doc: 'A CALL of a method that is not known.' }),
  30: Object.freeze({ name: 'EPOCH_MISMATCH', fault: 'none', retry: 'LIST, then SYNC', doc: 'The channel\'s slot has a newer epoch, or the interval lies above its head: forget what is held of it and list again.' }),
  31: Object.freeze({ name: 'BAD_LIST_TOKEN', fault: 'client', retry: 'LIST with an empty token', doc: 'The list token is not one that this server gave to this user.' }),
});

/** Methods of CALL. */
export const Method = Object.freeze({
  /** Creates a group with the caller as its owner. */
  GROUP_CREATE: 1,
  /** Adds members. */
  GROUP_ADD: 2,
  /** Removes members; everyone may remove themselves. */
  GROUP_REMOVE: 3,
  /** The members of a group, a page at a time. */
  GROUP_MEMBERS: 4,
  /** Moves the user's read mark of a channel forward. */
  READ: 5,
});

/** Kinds of images. */
export const ImageKind = Object.freeze({
  /** A message. */
  MESSAGE: 1,
  /** The group was created; the body lists its first members. */
  GROUP_CREATED: 10,
  /** The body lists who joined. */
  MEMBERS_JOINED: 11,
  /** The body lists who left by themselves. */
  MEMBERS_LEFT: 12,
  /** The body lists who was removed. */
  MEMBERS_REMOVED: 13,
});

/** Flags of images, as masks. */
export const ImageFlag = Object.freeze({
  /** Counts as unread. */
  COUNTABLE: 1,
  /** Wakes nobody. */
  SILENT: 2,
});

/** Why seqs of an interval have no image. */
export const GapReason = Object.freeze({
  /** Dropped by retention. */
  TRIMMED: 1,
  /** Not for this user: before joining or after leaving. */
  NOT_VISIBLE: 2,
  /** Damaged on disk and set aside; the operator has been told. */
  QUARANTINED: 5,
});

/** Tags of TLVs. */
export const Tlv = Object.freeze({
  /** Media type of the body. */
  CONTENT_TYPE: 0x0001,
  /** W3C trace context. */
  TRACEPARENT: 0x0002,
  /** Platform of the device. */
  PLATFORM: 0x0010,
  /** Version of the app. */
  APP_VERSION: 0x0011,
  /** Language tag. */
  LANGUAGE: 0x0012,
  /** Time zone name. */
  TIME_ZONE: 0x0013,
  /** The client's clock, milliseconds since 1970; told to logs, decides nothing. */
  CLIENT_TIME: 0x0014,
  /** The highest seq on screen when the message was written; moves the read mark, is not passed on. */
  READ: 0x0020,
  /** How long to wait before coming back, milliseconds. */
  RETRY_AFTER_MS: 0x4001,
  /** Text for the developer: what is wrong and where. */
  DETAIL: 0x4002,
});

/** What the bytes of a known TLV are, by tag: 'text' (UTF-8), 'u32', 'u64' (below 2^53). */
export const TlvForm = Object.freeze({
  0x0001: 'text',
  0x0002: 'text',
  0x0010: 'text',
  0x0011: 'text',
  0x0012: 'text',
  0x0013: 'text',
  0x0014: 'u64',
  0x0020: 'u64',
  0x4001: 'u32',
  0x4002: 'text',
});
