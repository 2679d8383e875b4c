"""An actor's eyes and voice: it folds the log, keeps an optimistic view over gossip, and posts signed entries."""

from __future__ import annotations

from collections.abc import Callable, Collection

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shoal.core import fold
from shoal.core.calls import Call
from shoal.core.codec import digest
from shoal.core.entries import Entry, Place, make_entry
from shoal.core.events import TaskCreated
from shoal.core.fold import Item
from shoal.core.ids import Address, Digest
from shoal.core.task import SECOND_NS, State
from shoal.core.view import next_link, optimistic
from shoal.testing.world import World

NETWORK = "sim"
CONTRACT = "0.0.1001"


def identity(name: str) -> tuple[Address, Ed25519PrivateKey]:
    """The address and the signing key of a party, which follow from its name."""
    key = Ed25519PrivateKey.from_private_bytes(digest(b"key of " + name.encode()))
    return Address(digest(b"account of " + name.encode())[:20]), key


def beginning(created: Item) -> State:
    """The state right after `createTask`."""
    assert isinstance(created.what, TaskCreated)
    return fold.begin(Place(NETWORK, CONTRACT, created.what.task_id), created.what, created.time_ns)


class Follower:
    """One party of the task. What a real node keeps on disk survives `crash`; all else is forgotten.

    Args:
        name: fixes the key and the address.
    """

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.address, self.signer = identity(name)
        self.signing_key = self.signer.public_key().public_bytes_raw()
        self.recipient = digest(b"recipient of " + name.encode())
        self.alive = True
        self.life = 0
        """Counts restarts: what an earlier life had begun comes to nothing."""
        self.log: State | None = None
        self.view: State | None = None
        self.outbox: list[Entry] = []
        """On disk: every entry ever signed for this task."""
        self._forget()
        world.mailboxes[self.address] = self.hear

    def _forget(self) -> None:
        self.log = self.view = None
        self.pending: dict[Digest, Entry] = {}
        self._cursor = 0
        self._sending = False
        self._calling_until_ns = 0

    # ------------------------------------------------------------ life

    def begin(self) -> None:
        """Look at the log from now on, again and again."""
        self.later(0.0, 1.0, self._poll)

    def later(self, low_s: float, high_s: float, what: Callable[[], None]) -> None:
        """Do something after a random delay, unless this life has ended by then."""
        life = self.life
        self.world.soon(low_s, high_s, lambda: what() if self.alive and self.life == life else None)

    def crash(self) -> None:
        self.world.note(self.name, "crash")
        self.alive = False
        self.life += 1
        self._forget()

    def restart(self) -> None:
        self.world.note(self.name, "restart")
        self.alive = True
        self.pending = {entry.hash: entry for entry in self.outbox}
        self.begin()

    def _poll(self) -> None:
        lag_ns = int(self.world.random.uniform(0.01, 0.5) * SECOND_NS)
        self.read(self.world.now_ns - lag_ns)
        if self.log is not None:
            self.act()
        self.later(0.3, 1.2, self._poll)

    def act(self) -> None:
        """Do what the state asks for."""
        raise NotImplementedError

    # ------------------------------------------------------------ the log

    def read(self, until_ns: int) -> None:
        """Fold everything that has consensus up to a time."""
        if self.log is None:
            created = self.world.created
            if created is None or created.time_ns > until_ns:
                return
            self.log = beginning(created)
        state, items = self.log, self.world.log
        while self._cursor < len(items) and items[self._cursor].time_ns <= until_ns:
            state = fold.step(state, items[self._cursor])
            self._cursor += 1
        self.log = fold.advance(state, until_ns)
        self._rebuild()
        self._send()

    def _rebuild(self) -> None:
        assert self.log is not None
        for key, entry in list(self.pending.items()):
            author = self.log.authors.get(entry.author)
            if author is not None and entry.sequence < author.sequence:
                del self.pending[key]
        self.view = optimistic(self.log, self.pending.values())

    def hear(self, entry: Entry) -> None:
        """Gossip has arrived."""
        if not self.alive or self.log is None or entry.hash in self.pending:
            return
        author = self.log.authors.get(entry.author)
        if author is None or entry.sequence < author.sequence or not entry.signed_by(author.signing_key):
            return
        self.pending[entry.hash] = entry
        self._rebuild()
        self.act()

    # ------------------------------------------------------------ speaking

    def post(self, kind: str, body: dict[str, object]) -> None:
        """Sign an entry, keep it, gossip it, and bring it to consensus after those before it."""
        entry = self.sign(kind, body)
        self.outbox.append(entry)
        self._tell(entry)

    def sign(self, kind: str, body: dict[str, object]) -> Entry:
        """The next entry of this actor's chain."""
        assert self.log is not None
        sequence, head = self.chain()
        return make_entry(
            self.signer,
            self.log.place,
            author=self.address,
            sequence=sequence,
            previous=head,
            kind=kind,
            body=body,
        )

    def chain(self) -> tuple[int, Digest]:
        assert self.log is not None
        return next_link(self.log, self.address, self.outbox[-1:])

    def _tell(self, entry: Entry, only: Collection[Address] | None = None) -> None:
        self.pending[entry.hash] = entry
        self._rebuild()
        self.world.gossip(self.address, entry, only)
        self._send()

    def _send(self) -> None:
        """One entry at a time and in order, since consensus order is the order of the chain."""
        if self._sending or self.log is None or self.address not in self.log.authors:
            return
        sequence = self.log.authors[self.address].sequence
        if sequence < len(self.outbox):
            self._sending = True
            life = self.life

            def arrived() -> None:
                if self.life == life:
                    self.later(0.6, 1.0, self._sent)  # by then the log has been read beyond it

            self.world.submit(self.outbox[sequence].data(), arrived)

    def _sent(self) -> None:
        self._sending = False

    def call(self, call: Call, value: int = 0) -> None:
        """Call the contract unless a call is under way or the log does not show yet what came of the last."""
        if self._calling_until_ns > (self.log.now_ns if self.log else 0):
            return
        self._calling_until_ns = 2**63
        life = self.life

        def done(reason: str) -> None:
            if self.life == life:
                self._calling_until_ns = self.world.now_ns + 1

        self.world.call(self.address, call, value, done)
