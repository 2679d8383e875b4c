"""The parts of the ledger adapter that need no network: ABI, keys, consensus times, and chunked messages."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from shoal.adapters.hedera.keys import key_of_account, new_key, parse_key
from shoal.adapters.hedera.market import MarketAbi, artefact, camel
from shoal.adapters.hedera.mirror import SECOND_NS, parse_time, time_text
from shoal.adapters.hedera.topics import CHUNK_WINDOW_NS, OPEN_OF_PAYER, Reassembly
from shoal.core import calls, events, limits
from shoal.core.ids import keccak256
from shoal.errors import ConfigError, LedgerError, UsageError
from shoal.testing import simulate

ABI = MarketAbi()
TRACE = simulate(3, 4, 6, 3)


# ---------------------------------------------------------------- ABI


def test_every_call_of_a_whole_task_is_encoded_by_its_selector() -> None:
    selectors = {}
    for entry in artefact()["abi"]:
        if entry["type"] == "function":
            selectors[entry["name"]] = keccak256(signature(entry).encode())[:4]
    seen = set()
    for _, _, call, _, _ in TRACE.calls:
        name = type(call).__name__
        assert ABI.encode(call)[:4] == selectors[name[0].lower() + name[1:]]
        seen.add(type(call))
    assert {calls.CreateTask, calls.Award, calls.Accept, calls.PublishResult, calls.Claim} <= seen


def signature(entry: dict[str, Any]) -> str:
    def kind(part: dict[str, Any]) -> str:
        if part["type"].startswith("tuple"):
            return f"({','.join(kind(inner) for inner in part['components'])}){part['type'][5:]}"
        return str(part["type"])

    return f"{entry['name']}({','.join(kind(part) for part in entry['inputs'])})"


def test_every_event_of_a_whole_task_is_decoded_to_itself() -> None:
    entries = {entry["name"]: entry for entry in artefact()["abi"] if entry["type"] == "event"}
    seen = set()
    for item in TRACE.items:
        event = item.what
        if type(event).__name__ not in entries:
            continue
        topics, data = log_of(event, entries[type(event).__name__])
        assert ABI.decode_event(topics, data) == event
        with pytest.raises(LedgerError):
            ABI.decode_event(topics[:-1], data[:-32])
        seen.add(type(event))
    assert {events.TaskCreated, events.Awarded, events.Accepted, events.ResultConfirmed, events.Settled} <= seen
    assert ABI.decode_event([bytes(32)], b"") is None and ABI.decode_event([], b"") is None


def log_of(event: Any, entry: dict[str, Any]) -> tuple[list[bytes], bytes]:
    topics, types, values = [keccak256(signature(entry).encode())], [], []
    for part in entry["inputs"]:
        value = getattr(event, "".join("_" + c.lower() if c.isupper() else c for c in part["name"]))
        if isinstance(value, calls.Plan):
            value = tuple(getattr(value, name) for name in value.__dataclass_fields__)
        kind = signature({"name": "", "inputs": [part]})[1:-1]
        if part["indexed"]:
            topics.append(encode([kind], [value]))
        else:
            types.append(kind)
            values.append(value)
    return topics, encode(types, values)


def test_a_call_that_does_not_fit_its_types_is_refused() -> None:
    with pytest.raises(UsageError):
        ABI.encode(calls.RequestUnstake(2**64))  # type: ignore[arg-type]


def test_an_abi_of_another_shape_is_refused_when_it_is_loaded() -> None:
    for change in ("name", "drop", "type"):
        entries = [dict(entry) for entry in artefact()["abi"]]
        entry = next(each for each in entries if each["type"] == "event" and each["name"] == "Settled")
        if change == "drop":
            entries.remove(entry)
        else:
            first = dict(entry["inputs"][1])
            first["name" if change == "name" else "type"] = "other" if change == "name" else "bytes32"
            entry["inputs"] = [entry["inputs"][0], first, *entry["inputs"][2:]]
        with pytest.raises(ConfigError) as caught:
            MarketAbi(entries)
        assert caught.value.code == "SHOAL-C11"


def test_reasons_of_reverts() -> None:
    assert ABI.decode_error(keccak256(b"TooLate(uint64,uint64)")[:4] + encode(["uint64"] * 2, [5, 6])) == (
        "TooLate",
        "TooLate(until=5, time=6)",
    )
    field = b"seats".ljust(32, b"\0")
    assert ABI.decode_error(keccak256(b"InvalidPlan(bytes32)")[:4] + field)[1] == "InvalidPlan(field=seats)"
    assert ABI.decode_error(b"")[0] == "Unknown" and ABI.decode_error(b"\1\2\3\4junk")[0] == "Unknown"


@given(st.binary(max_size=100))
def test_no_revert_data_breaks_the_decoder(data: bytes) -> None:
    for selector in (b"", bytes.fromhex("08c379a0"), keccak256(b"TooLate(uint64,uint64)")[:4]):
        name, text = ABI.decode_error(selector + data)
        assert name and text


def test_names() -> None:
    assert camel("no_show_penalty") == "noShowPenalty"


# ---------------------------------------------------------------- keys, times, prices


def test_keys_are_read_by_their_type_and_never_shown() -> None:
    text = new_key()
    assert parse_key(text).public_key().is_ed25519()
    assert parse_key("ecdsa:" + "11" * 32).is_ecdsa()
    for bad in ("hush", "11" * 32, "ed25519:11", "rsa:" + "11" * 32, ""):
        with pytest.raises(ConfigError) as caught:
            parse_key(bad)
        assert caught.value.code == "SHOAL-C02" and (not bad or bad not in str(caught.value.as_dict()))


def test_a_key_is_compared_with_its_accounts() -> None:
    text = new_key()
    public = parse_key(text).public_key().to_bytes_raw().hex()
    account = {"account": "0.0.5", "key": {"_type": "ED25519", "key": public}}
    assert key_of_account(text, account).to_string_raw() == text.removeprefix("ed25519:")
    assert key_of_account(text.removeprefix("ed25519:"), account)
    for other in ({"_type": "ED25519", "key": "00" * 32}, {"_type": "ProtobufEncoded", "key": "00"}, None):
        with pytest.raises(ConfigError) as caught:
            key_of_account(text, {"account": "0.0.5", "key": other})
        assert caught.value.code == "SHOAL-C10"


@given(st.integers(0, 2**62))
def test_consensus_times_are_exact(time_ns: int) -> None:
    assert parse_time(time_text(time_ns)) == time_ns


@pytest.mark.parametrize("text", ["", "1.1234567890", "-1.0", "x", "１.0"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_time(text)


# ---------------------------------------------------------------- chunked messages


def rows_of(data: bytes, payer: str, start_ns: int, first_ns: int, size: int = 10) -> list[dict[str, Any]]:
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    identity = {"account_id": payer, "transaction_valid_start": time_text(start_ns)}
    return [
        {
            "consensus_timestamp": time_text(first_ns + index),
            "message": base64.b64encode(part).decode(),
            "payer_account_id": payer,
            "sequence_number": index,
            "chunk_info": {"initial_transaction_id": identity, "number": index + 1, "total": len(parts)},
        }
        for index, part in enumerate(parts)
    ]


def fed(rows: list[dict[str, Any]]) -> list[bytes]:
    reassembly = Reassembly()
    return [message.data for row in rows if (message := reassembly.feed(row))]


NOW = 1_000 * SECOND_NS


@given(st.binary(min_size=11, max_size=60), st.binary(min_size=11, max_size=60), st.randoms(use_true_random=False))
def test_messages_of_two_payers_may_be_interleaved(one: bytes, two: bytes, rng: Any) -> None:
    streams = [rows_of(one, "0.0.1", NOW, NOW), rows_of(two, "0.0.2", NOW, NOW)]
    merged = []
    while any(streams):
        stream = rng.choice([each for each in streams if each])
        merged.append(stream.pop(0))
    assert sorted(fed(merged)) == sorted([one, two])


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8))
def test_only_the_right_order_makes_a_message(order: list[int]) -> None:
    rows = rows_of(bytes(range(40)), "0.0.1", NOW, NOW)
    found = fed([rows[number] for number in order])
    assert set(found) <= {bytes(range(40))}
    assert bool(found) == _has_run(order)


def _has_run(order: list[int]) -> bool:
    """Whether 0, 1, 2, 3 appear as a subsequence, each the next one that is wanted."""
    wanted = 0
    for number in order:
        if number == wanted:
            wanted += 1
    return wanted == 4


def test_what_strangers_write_gives_nothing() -> None:
    rows = rows_of(bytes(range(30)), "0.0.1", NOW, NOW)
    stolen = [dict(row, payer_account_id="0.0.9") for row in rows]
    assert fed(stolen) == []
    late = rows_of(bytes(range(30)), "0.0.1", NOW - CHUNK_WINDOW_NS - 10, NOW)
    assert fed(late) == []
    junk = [{}, {"consensus_timestamp": "x"}, dict(rows[0], message="?"), dict(rows[0], chunk_info={"total": 3})]
    assert fed([*junk, *rows]) == [bytes(range(30))]
    large = rows_of(bytes(limits.LOG_ENTRY_BYTES + 1), "0.0.1", NOW, NOW, size=1_024 + 1)
    assert fed(large) == []


def test_open_messages_are_bounded_and_the_oldest_goes_first() -> None:
    begun = [rows_of(bytes([n]) * 20, "0.0.1", NOW + n, NOW + 100 * n) for n in range(OPEN_OF_PAYER + 1)]
    first = [rows[0] for rows in begun]
    rest = [rows[1] for rows in begun]
    assert fed([*first, *rest]) == [bytes([n]) * 20 for n in range(1, OPEN_OF_PAYER + 1)]
