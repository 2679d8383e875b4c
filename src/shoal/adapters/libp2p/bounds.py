"""Every bound of the peer network that is a node's own choice, not a rule of the market."""

from __future__ import annotations

from shoal.core.limits import MIB

# Connections
CONNECTIONS = 256
DIALED = 8
"""A node with so many connections dials only whom it needs; it still accepts up to CONNECTIONS."""
DIALED_AT_ONCE = 3
DIAL_PACE_S = 3.0
"""Past the first few connections peers are dialled one by one: a handshake takes some 50 ms of a CPU on both sides."""
STREAMS_PER_PEER = 64
STREAMS = 1_024
BUFFERED_BYTES = 64 * MIB
"""What a peer may have sent without us having read it: the library does not enforce Yamux windows (16 MiB)."""
DIAL_TIMEOUT_S = 10.0
WRITE_STALL_S = 5.0
CLOSE_TIMEOUT_S = 2.0

# Peers
ADDRESSES = 8
ADDRESS_CHARACTERS = 192
ROLES = 8
EXCHANGED_PEERS = 100
PEERSTORE_BYTES = 2 * MIB
PING_INTERVAL_S = 2.5
PING_TIMEOUT_S = 7.0
SILENCE_S = 8.0
"""A peer from which no byte came for so long, though it was pinged, is lost: stopped, or cut off."""
PING_EVERY = 3
"""A peer that has just sent something lives, and is pinged only so rarely: to know its latency, and since py-libp2p
closes a ping stream that was quiet for 10 s."""
ASK_TIMEOUT_S = 20.0
"""For what nobody waits for: on a busy machine a late answer is better than none, and than asking again."""
EXCHANGE_S = 120.0
"""How often a peer is asked for others."""
REDIAL_MIN_S = 0.5
REDIAL_MAX_S = 30.0
DIAL_FAILURES = 20
"""After so many a peer that is not a bootstrap peer is forgotten."""
COURTESY_S = 1.5

# Finding one peer (Kademlia, Maymounkov and Mazieres 2002)
CLOSEST = 20
LOOKUP_AT_ONCE = 3
LOOKUP_ASKED = 12
LOOKUP_TIMEOUT_S = 5.0

# The mesh
SUMMARY_BYTES = 8 * 1024
SUMMARY_TOPICS = 16
SUMMARY_AGE_S = 4_000.0
"""None older is accepted; in a mesh of few nodes, which speak more often, they are forgotten sooner."""
FORGET_MIN_S = 180.0
FORGET_ANNOUNCEMENTS = 4
"""A node that left out so many announcements is forgotten."""
SUMMARY_AHEAD_S = 120.0
"""How far another node's clock may be ahead of ours."""
ANNOUNCE_S = 15.0
ANNOUNCEMENTS_PER_S = 0.1
"""Of the whole mesh together, since each costs every node several messages: in a large mesh each speaks more rarely."""
COMPARE_MIN_S = 0.3
COMPARE_MAX_S = 10.0
"""A node compares its table with that of one peer, soon and then more rarely: what gossip has lost comes so."""
COMPARED_PER_S = 20.0
"""Summaries; in a large mesh tables are compared more rarely still."""

# Reachability
DIAL_BACKS = 4
DIAL_BACK_TIMEOUT_S = 3.0
ASKED_TO_DIAL_BACK = 3
REACH_RETRY_S = 3.0
REACH_EVERY_S = 60.0

# Relays
RELAYS = 2
RESERVATIONS = 128
RESERVATION_S = 600
CIRCUITS = 64
CIRCUITS_PER_PEER = 8
CIRCUIT_BYTES_PER_S = 1 * MIB
CIRCUIT_BURST_BYTES = 8 * MIB
RELAYED_BYTES = 1 * MIB
"""Files that may be larger are not pulled through a relay: they are in storage too."""
CIRCUIT_IDLE_S = 60.0
CIRCUIT_LIFE_S = 3_600.0

# Gossip
TOPIC_CHARACTERS = 256
TOPICS_PER_PEER = 1_024
INBOX_MESSAGES = 512
"""Messages kept for a slow subscriber; then the oldest are lost."""
JOINED_TOPICS = 64
KEPT_MESSAGES = 256
KEPT_BYTES = 1 * MIB
"""Of a joined topic, for `read`."""
PUBLISH_PER_S = 150.0
PUBLISH_BURST = 16
PEER_MESSAGES_PER_S = 300.0
PEER_MESSAGES_BURST = 600
"""What a peer may send and forward; with the strikes below, one that sends 1,000 a second is cut off in about 1.2 s."""
AUTHOR_MESSAGES_PER_S = 200.0
AUTHOR_MESSAGES_BURST = 400
"""What of one author is delivered and passed on, whoever forwards it."""
PEER_BYTES_PER_S = 4 * MIB
PEER_BYTES_BURST = 32 * MIB
PEER_READS_PER_S = 6_000.0
PEER_READS_BURST = 12_000
"""Reads of a gossip stream, some three per RPC; past these a peer is read more slowly."""
AUTHORS = 4_096
REPLAY_S = 60.0
"""Half of the time for which the library remembers a message."""

# Conduct
POINTS = 100.0
POINTS_BACK_PER_S = 1.0
STRIKE_OVER_BUDGET = 0.5
STRIKE_REPLAYED = 1.0
STRIKE_UNSIGNED = 2.0
STRIKE_BAD_SUMMARY = 10.0
STRIKE_MALFORMED = 25.0
BAN_MIN_S = 60.0
BAN_MAX_S = 24 * 3_600.0
"""Each further ban of a peer lasts twice as long as the last."""
BANS = 1_000

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
