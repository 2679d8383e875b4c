// Every limit of the market that a browser needs, as `src/shoal/core/limits.py` has them.

export const MIB = 1024 * 1024;
export const TOPIC_MESSAGE_BYTES = 1_024;
export const TOPIC_CHUNKS = 20;
export const LOG_ENTRY_BYTES = TOPIC_MESSAGE_BYTES * TOPIC_CHUNKS;
export const CALL_GAS = 15_000_000;
export const CHUNKS = 256;
export const ROUNDS = 10_000;
export const SEATS = 256;
export const TASK_LIFE_S = 7 * 24 * 3600;
export const BIDS = 10_000;
export const SLOTS = 24_000;
export const AUTHOR_ENTRIES = 4_096;
export const AUTHOR_BYTES = 8 * MIB;
export const EARLY_ROUNDS = 32;
export const EARLY_STATEMENTS = 64;
export const CHUNK_BYTES = 64 * MIB;
export const DOCUMENT_BYTES = 8 * MIB;
export const WEIGHTS_BYTES = 4 * 1024 * MIB;
export const BUNDLE_BYTES = 16 * MIB;
export const ENVELOPE_BYTES = 8 * 1024;
export const REQUEST_BYTES = MIB;
export const CBOR_DEPTH = 16;
export const TEXT_BYTES = 4_096;
