"""Every limit in one place: what a message, task, file or peer may cost at most."""

from __future__ import annotations

MIB = 1024 * 1024

# Hedera (docs of HIP-1261 and the service's own limits)
TOPIC_MESSAGE_BYTES = 1_024
TOPIC_CHUNKS = 20
LOG_ENTRY_BYTES = TOPIC_MESSAGE_BYTES * TOPIC_CHUNKS
CALL_GAS = 15_000_000

# A task
CHUNKS = 256
ROUNDS = 10_000
SEATS = 256
TASK_LIFE_S = 7 * 24 * 3600
"""Presigned URLs live 7 days at most, so a task may not live longer."""

AUDITORS = 7
"""Validators in one committee or jury."""

BIDS = 10_000
"""Sealed bids kept for one task; anyone may write them, at the price of a message each."""
SLOTS = 24_000
"""Upload slots of a task: their URLs fit one bundle."""

# What one author may put into one task's log: entries past these are skipped by the fold, not stored.
AUTHOR_ENTRIES = 4_096
AUTHOR_BYTES = 8 * MIB

# Log lines on a task's topic: they count apart, so that a talkative trainer loses no update by them.
AUTHOR_LOG_ENTRIES = 256
LOG_SEQUENCES = 2**32
LOG_LINES = 512
"""Of one message."""
LOG_LINE_CHARS = 1_000
LOG_TEXT_BYTES = 32 * 1024
"""What one message may unpack to."""

# What is said before the log holds what it builds upon: how far ahead, and how much of one author.
EARLY_ROUNDS = 32
EARLY_STATEMENTS = 64

# Bytes
CHUNK_BYTES = 64 * MIB
DOCUMENT_BYTES = 8 * MIB
WEIGHTS_BYTES = 4 * 1024 * MIB
BUNDLE_BYTES = 16 * MIB
ENVELOPE_BYTES = 8 * 1024

# IPFS
CID_CHARACTERS = 100
"""In an entry; those of SHA-256 have 46 to 73."""
IPFS_BLOCK_BYTES = 4 * MIB
"""Twice what peers of IPFS exchange."""
IPFS_FILE_BYTES = 25 * 1_000_000_000
"""Most that Pinata takes in one file."""
IPFS_ANSWER_BYTES = 4 * MIB
IPFS_PINS = 10_000
"""Most that are listed."""

# Peers
GOSSIP_BYTES = 64 * 1024
REQUEST_BYTES = 1 * MIB
PIECE_BYTES = 1 * MIB
PEERS = 1_000
"""Most peers remembered by a node."""

CBOR_DEPTH = 16
TEXT_BYTES = 4_096
