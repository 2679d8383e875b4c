"""Who is told about whom after everybody has moved."""

from __future__ import annotations

import json
from pathlib import Path

from shoal.adapters.libp2p.peerbook import PeerBook

OWN, OTHER, THIRD = ("12D3KooW" + letter * 44 for letter in "ABC")
OLD, NEW = "/ip4/127.0.0.1/tcp/4001", "/ip4/127.0.0.1/tcp/4002"


def test_a_peer_that_came_back_elsewhere_is_told_about_though_its_old_place_failed(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    path.write_text(json.dumps([{"peer_id": OTHER, "addresses": [OLD], "roles": ["trainer"]}]))
    book = PeerBook(OWN, [], path, now_s=lambda: 0.0)
    book.dialled(OTHER, 1.0, reached=False)
    book.confirm(OTHER, [NEW], ["trainer"], None)
    assert book.sample(leave_out=THIRD) == [(OTHER, (NEW,))]


def test_a_peer_that_cannot_be_dialled_where_it_says_that_it_is_is_not_told_about() -> None:
    book = PeerBook(OWN, [], None, now_s=lambda: 0.0)
    book.confirm(OTHER, [OLD], ["trainer"], None)
    book.dialled(OTHER, 1.0, reached=False)
    book.confirm(OTHER, [OLD], ["trainer"], None)
    assert book.sample(leave_out=THIRD) == []
