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
  /** Longest name of a group or a user. */
  NAME_BYTES: 128,
  /** Longest avatar of a group or a user: a reference, such as a URL. */
  AVATAR_BYTES: 512,
  /** Longest announcement of a group. */
  ANNOUNCEMENT_BYTES: 1024,
  /** Longest description of a group or a user. */
  DESCRIPTION_BYTES: 512,
  /** Longest custom text of a group or a user. */
  CUSTOM_BYTES: 1024,
  /** Longest nickname of a member. */
  NICKNAME_BYTES: 64,
  /** Longest text of a request to join or of a contact request. */
  REQUEST_TEXT_BYTES: 256,
  /** Most requests and invitations that wait in a group. */
  GROUP_REQUESTS: 1000,
  /** Most users mentioned in one message. */
  MENTIONS: 100,
  /** Unread counts are exact up to this; one more stands for any above. */
  UNREAD_EXACT: 1000,
  /** Longest reaction. */
  REACTION_BYTES: 32,
  /** Most different reactions on one message. */
  REACTIONS: 20,
  /** Most edits of one message. */
  EDITS: 256,
  /** Most ranges of a channel that a user may have deleted for themselves; ranges that touch are one. */
  HIDDEN_RANGES: 64,
  /** Most pinned messages of a channel. */
  PINS: 100,
  /** Most messages that one user has scheduled in one channel. */
  SCHEDULED: 100,
  /** Most broadcasts of a system user that are under way. */
  BROADCASTS: 16,
  /** Broadcasts of a system user that are listed after their end; the oldest goes. */
  BROADCASTS_KEPT: 100,
  /** Most tags of a user. */
  TAGS: 32,
  /** Longest tag of a user. */
  TAG_BYTES: 32,
  /** Longest body of a SIGNAL. */
  SIGNAL_BYTES: 16384,
  /** Most users whose presence one connection is told. */
  PRESENCE_WATCHED: 1000,
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
  /** What is not stored: typing, presence, receipts, changes made on another device. */
  NOTICE: 14,
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
  /** The device was removed by its user; its tokens from before that are not accepted any more. */
  DEVICE_REMOVED: 32,
  /** The time in which this was allowed is over. */
  TOO_LATE: 33,
  /** What was to be changed has changed meanwhile: read it, then decide again. */
  VERSION_CONFLICT: 34,
  /** The channel has no such message for this user, or it is not one that this can be done to. */
  NO_TARGET: 35,
  /** The user, or everybody, may not speak in the group now. */
  MUTED: 36,
  /** One of the two users has blocked the other. */
  BLOCKED: 37,
  /** The user takes messages of contacts only. */
  NOT_CONTACTS: 38,
  /** A quota of requests or bytes is used up; says nothing about an earlier copy. */
  QUOTA_EXCEEDED: 39,
  /** The group was dismissed; it can be read and not changed any more. */
  DISMISSED: 40,
  /** There are as many of these as there may be. */
  TOO_MANY: 41,
  /** The body does not follow the schema of its content type. */
  INVALID_CONTENT: 42,
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
  32: Object.freeze({ name: 'DEVICE_REMOVED', fault: 'client', retry: 'new token', doc: 'The device was removed by its user; its tokens from before that are not accepted any more.' }),
  33: Object.freeze({ name: 'TOO_LATE', fault: 'client', retry: 'never', doc: 'The time in which this was allowed is over.' }),
  34: Object.freeze({ name: 'VERSION_CONFLICT', fault: 'client', retry: 'never', doc: 'What was to be changed has changed meanwhile: read it, then decide again.' }),
  35: Object.freeze({ name: 'NO_TARGET', fault: 'client', retry: 'never', doc: 'The channel has no such message for this user, or it is not one that this can be done to.' }),
  36: Object.freeze({ name: 'MUTED', fault: 'client', retry: 'after retry_after_ms', doc: 'The user, or everybody, may not speak in the group now.' }),
  37: Object.freeze({ name: 'BLOCKED', fault: 'client', retry: 'never', doc: 'One of the two users has blocked the other.' }),
  38: Object.freeze({ name: 'NOT_CONTACTS', fault: 'client', retry: 'never', doc: 'The user takes messages of contacts only.' }),
  39: Object.freeze({ name: 'QUOTA_EXCEEDED', fault: 'client', retry: 'after retry_after_ms', doc: 'A quota of requests or bytes is used up; says nothing about an earlier copy.' }),
  40: Object.freeze({ name: 'DISMISSED', fault: 'client', retry: 'never', doc: 'The group was dismissed; it can be read and not changed any more.' }),
  41: Object.freeze({ name: 'TOO_MANY', fault: 'client', retry: 'never', doc: 'There are as many of these as there may be.' }),
  42: Object.freeze({ name: 'INVALID_CONTENT', fault: 'client', retry: 'never', doc: 'The body does not follow the schema of its content type.' }),
});

/** Methods of CALL. */
export const Method = Object.freeze({
  /** Creates a group with the caller as its owner. */
  GROUP_CREATE: 1,
  /** Adds members. */
  GROUP_ADD: 2,
  /** Removes members; everybody but the owner may remove themselves. */
  GROUP_REMOVE: 3,
  /** The members of a group, a page at a time. */
  GROUP_MEMBERS: 4,
  /** Moves the user's read mark of a channel forward. */
  READ: 5,
  /** Ends a group: it can be read and not changed any more. */
  GROUP_DISMISS: 6,
  /** Changes name, avatar, announcement, description, custom text or settings of a group. */
  GROUP_CHANGE: 7,
  /** Makes members admins, or admins members. */
  GROUP_ROLES: 8,
  /** Makes another member the owner. */
  GROUP_TRANSFER: 9,
  /** Mutes members until a time, or everybody. */
  GROUP_MUTE: 10,
  /** Joins a group, or asks to. */
  GROUP_JOIN: 11,
  /** Invites users, who then may join. */
  GROUP_INVITE: 12,
  /** Accepts or refuses requests to join, or withdraws invitations. */
  GROUP_ANSWER: 13,
  /** Sets the caller's nickname in a group. */
  GROUP_NICKNAME: 14,
  /** What a group is, and what the caller is in it. */
  GROUP_INFO: 15,
  /** The requests and invitations that wait in a group, a page at a time. */
  GROUP_REQUESTS: 16,
  /** Mutes, pins, hides, clears or marks a conversation for the caller alone. */
  CONVERSATION_SET: 20,
  /** How much is unread in all conversations together. */
  BADGE: 21,
  /** Who has got and read a message. */
  RECEIPTS: 22,
  /** Blocks a user, or ends that. */
  BLOCK: 23,
  /** Whom the caller blocks, a page at a time. */
  BLOCKED: 24,
  /** Takes a message back: its content is erased for everybody. */
  REVOKE: 30,
  /** Replaces the content of an own message. */
  EDIT: 31,
  /** Adds a reaction to a message, or takes it away. */
  REACT: 32,
  /** Pins a message for everybody in the channel, or ends that. */
  PIN: 33,
  /** Deletes messages for the caller alone. */
  HIDE: 34,
  /** The pinned messages of a channel. */
  PINS: 35,
  /** The versions of an edited message. */
  EDITS: 36,
  /** The answers in a thread, a page at a time. */
  THREAD: 37,
  /** Changes the caller's profile and privacy settings. */
  PROFILE_SET: 40,
  /** Profiles of users. */
  PROFILES: 41,
  /** The caller's devices. */
  DEVICES: 42,
  /** Removes one of the caller's devices, or all others. */
  DEVICE_REMOVE: 43,
  /** What the caller has used of their limits. */
  USAGE: 44,
  /** Whether users are online, now and, by NOTICE, from now on. */
  PRESENCE: 50,
  /** Which channel is on screen: its typing and receipts are told by NOTICE. */
  WATCH: 51,
  /** Asks a user to become a contact. */
  CONTACT_ASK: 60,
  /** Accepts or refuses what a user asked. */
  CONTACT_ANSWER: 61,
  /** Ends a contact, or takes back what the caller asked. */
  CONTACT_REMOVE: 62,
  /** Sets what the caller calls a contact. */
  CONTACT_NOTE: 63,
  /** The caller's contacts and who waits to become one, a page at a time. */
  CONTACTS: 64,
  /** Writes a message that the server sends at a given time. */
  SCHEDULE: 70,
  /** Replaces a scheduled message, or its time. */
  SCHEDULE_EDIT: 71,
  /** Takes a scheduled message away. */
  SCHEDULE_CANCEL: 72,
  /** The caller's scheduled messages of a channel, a page at a time. */
  SCHEDULED: 73,
  /** Sends a message of a system user to everybody, or to who has a tag. */
  BROADCAST: 80,
  /** Ends a broadcast; who has its message keeps it. */
  BROADCAST_CANCEL: 81,
  /** The caller's broadcasts, and how far each is. */
  BROADCASTS: 82,
  /** Sets the tags of a user. */
  TAGS_SET: 83,
  /** The tags of a user. */
  TAGS: 84,
});

/** Kinds of images. */
export const ImageKind = Object.freeze({
  /** A message. */
  MESSAGE: 1,
  /** New content of the message TARGET, which makes its version VERSION. */
  EDITED: 2,
  /** The content of the message TARGET is erased. */
  REVOKED: 3,
  /** A reaction to the message TARGET: the body has it, or takes it away. */
  REACTED: 4,
  /** The message TARGET was pinned, or is not any more. */
  PINNED: 5,
  /** The group was created; the body lists its first members. */
  GROUP_CREATED: 10,
  /** The body lists who joined. */
  MEMBERS_JOINED: 11,
  /** The body lists who left by themselves. */
  MEMBERS_LEFT: 12,
  /** The body lists who was removed. */
  MEMBERS_REMOVED: 13,
  /** The group was dismissed. */
  GROUP_DISMISSED: 14,
  /** The group tells something else of itself, or is set otherwise: the TLVs say what. */
  GROUP_CHANGED: 15,
  /** The body tells a role, and lists who has it now. */
  ROLES_CHANGED: 16,
  /** The body tells a time, and lists who may not speak until then; nobody listed means everybody. */
  MEMBERS_MUTED: 17,
  /** The group has another owner: the body has the user. */
  OWNER_CHANGED: 18,
  /** The author's nickname in the group changed: the body has it. */
  NICKNAME_CHANGED: 19,
});

/** Flags of images, as masks. */
export const ImageFlag = Object.freeze({
  /** Counts as unread. */
  COUNTABLE: 1,
  /** Wakes nobody. */
  SILENT: 2,
  /** Mentions everybody in the channel. */
  MENTION_ALL: 4,
  /** Mentions the users in the TLV MENTIONS. */
  MENTIONS: 8,
  /** Set when read: body and TLVs are those of the newest edit. */
  EDITED: 16,
  /** Set when read: the content was erased; body and TLVs are empty. */
  ERASED: 32,
  /** It goes away when its time and the TLV LIFETIME_MS say. */
  EXPIRING: 64,
  /** It is an answer in the thread that its TLV THREAD names; set by the server. */
  THREADED: 256,
  /** It was written before and sent by the server when its time had come; sender and number are those of its SCHEDULE. */
  SCHEDULED: 512,
  /** A system user wrote it; set by the server. */
  SYSTEM: 1024,
  /** It is of a broadcast, and came to its reader alone; sender and number are those of its BROADCAST. */
  BROADCAST: 2048,
});

/** Why seqs of an interval have no image. */
export const GapReason = Object.freeze({
  /** Dropped by retention. */
  TRIMMED: 1,
  /** Not for this user: before joining or after leaving. */
  NOT_VISIBLE: 2,
  /** It had a time to go away, and that is over. */
  EXPIRED: 3,
  /** Deleted by this user for themselves alone. */
  HIDDEN: 4,
  /** Damaged on disk and set aside; the operator has been told. */
  QUARANTINED: 5,
});

/** What a NOTICE tells. */
export const NoticeKind = Object.freeze({
  /** A user is writing in a channel, or is not any more. */
  TYPING: 1,
  /** A watched user came or went. */
  PRESENCE: 2,
  /** Users have got or read a channel up to a seq. */
  RECEIPT: 3,
  /** The user's own view of a channel changed: read mark, settings, an invitation. */
  CONVERSATION: 4,
  /** A message that is not stored. */
  SIGNAL: 5,
  /** The requests that wait in a group changed; for its owner and admins. */
  REQUESTS: 6,
});

/** Tags of TLVs. */
export const Tlv = Object.freeze({
  /** Media type of the body. */
  CONTENT_TYPE: 0x0001,
  /** W3C trace context. */
  TRACEPARENT: 0x0002,
  /** The seq of the message that this one answers. */
  REPLY_TO: 0x0003,
  /** The seq of the message that began the thread in which this one is an answer. */
  THREAD: 0x0004,
  /** The users mentioned, ascending, each once. */
  MENTIONS: 0x0005,
  /** The message goes away so long after its time, milliseconds, at least 1. */
  LIFETIME_MS: 0x0006,
  /** Where the content comes from when it was forwarded; the server does not check it. */
  FORWARDED: 0x0007,
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
  /** Name of the group or user. */
  NAME: 0x0021,
  /** Reference to a picture, such as a URL. */
  AVATAR: 0x0022,
  /** What every member should know. */
  ANNOUNCEMENT: 0x0023,
  /** What the group is for, or who the user is. */
  DESCRIPTION: 0x0024,
  /** Whatever the app wants to keep here, such as JSON. */
  CUSTOM: 0x0025,
  /** Who may join: 0 everybody, 1 who is approved, 2 who is invited. */
  JOIN_MODE: 0x0026,
  /** 1 when new members see what was before they joined, else 0. */
  HISTORY: 0x0027,
  /** Most members; 0 for the server's limit. */
  MAX_MEMBERS: 0x0028,
  /** The conversation wakes nobody until then; 0 ends that, 2^53 - 1 means for ever. */
  MUTED_UNTIL_MS: 0x0030,
  /** 1 when the conversation stays at the top of the list, else 0. */
  PINNED: 0x0031,
  /** 1 to leave the conversation out of the list until something new comes, else 0. */
  HIDDEN: 0x0032,
  /** 1 to show the conversation as unread whatever the count, else 0; reading ends it. */
  MARKED_UNREAD: 0x0033,
  /** Everything up to this seq is deleted for the caller. */
  CLEARED: 0x0034,
  /** 1 when others do not learn what the user has read, nor the user of others; else 0. */
  RECEIPTS_PRIVATE: 0x0038,
  /** 1 when others do not learn whether the user is online, nor the user of others; else 0. */
  PRESENCE_PRIVATE: 0x0039,
  /** 1 when only contacts may write to the user; else 0. */
  CONTACTS_ONLY: 0x003a,
  /** How long to wait before coming back, milliseconds. */
  RETRY_AFTER_MS: 0x4001,
  /** Text for the developer: what is wrong and where. */
  DETAIL: 0x4002,
  /** The seq of the message that this image is about. */
  TARGET: 0x4004,
  /** Which version of the message this is: 0 as sent, 1 the first edit. */
  VERSION: 0x4006,
});

/** What the bytes of a known TLV are, by tag: 'text' (UTF-8), 'ids', 'u32', 'u64' (below 2^53). */
export const TlvForm = Object.freeze({
  0x0001: 'text',
  0x0002: 'text',
  0x0003: 'u64',
  0x0004: 'u64',
  0x0005: 'ids',
  0x0006: 'u64',
  0x0007: 'text',
  0x0010: 'text',
  0x0011: 'text',
  0x0012: 'text',
  0x0013: 'text',
  0x0014: 'u64',
  0x0020: 'u64',
  0x0021: 'text',
  0x0022: 'text',
  0x0023: 'text',
  0x0024: 'text',
  0x0025: 'text',
  0x0026: 'u32',
  0x0027: 'u32',
  0x0028: 'u32',
  0x0030: 'u64',
  0x0031: 'u32',
  0x0032: 'u32',
  0x0033: 'u32',
  0x0034: 'u64',
  0x0038: 'u32',
  0x0039: 'u32',
  0x003a: 'u32',
  0x4001: 'u32',
  0x4002: 'text',
  0x4004: 'u64',
  0x4006: 'u32',
});
