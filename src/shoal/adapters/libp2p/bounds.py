"""Every bound of the peer network that is a node's own choice, not a rule of the market."""

from __future__ import annotations

from shoal.core.limits import MIB

# Connections
CONNECTIONS = 256
DIALED = 48
"""A node stops dialling when it has this many connections; it still accepts up to CONNECTIONS."""
STREAMS_PER_PEER = 64
STREAMS = 1_024
BUFFERED_BYTES = 64 * MIB
"""What a peer may have sent without us having read it: the library does not enforce Yamux windows (16 MiB)."""
DIAL_TIMEOUT_S = 10.0
WRITE_STALL_S = 5.0
CLOSE_TIMEOUT_S = 2.0

# Peers
ADDRESSES = 8
ADDRESS_CHARACTERS = 128
ROLES = 8
EXCHANGED_PEERS = 100
PEERSTORE_BYTES = 2 * MIB
PING_INTERVAL_S = 3.0
PING_TIMEOUT_S = 10.0
EXCHANGE_EVERY = 2
"""Peers are asked for theirs at every so many pings."""
REDIAL_MIN_S = 0.5
REDIAL_MAX_S = 30.0
DIAL_FAILURES = 20
"""After so many a peer that is not a bootstrap peer is forgotten."""
COURTESY_S = 1.5
BAN_S = 60.0

# Gossip
TOPIC_CHARACTERS = 256
TOPICS_PER_PEER = 1_024
INBOX_MESSAGES = 512
"""Messages kept for a slow subscriber; then the oldest are lost."""
PUBLISH_PER_S = 150.0
PUBLISH_BURST = 16
PEER_MESSAGES_PER_S = 400.0
PEER_MESSAGES_BURST = 2_000
PEER_BYTES_PER_S = 4 * MIB
PEER_BYTES_BURST = 32 * MIB
STRIKES = 2_000
"""Messages over budget, or malformed, before a peer is cut off for BAN_S."""

# Requests
HANDLERS = 64
HANDLERS_PER_PEER = 8
HANDLER_TIMEOUT_S = 60.0
FRAME_TIMEOUT_S = 20.0
REFUSAL_BYTES = 300

# Files
UPLOADS = 16
UPLOADS_PER_PEER = 4
UPLOAD_LIFE_S = 600.0
DOWNLOADS = 8
PIECES_AHEAD = 4
PROVIDED = 4_096
