"""Withdrawing: to the caller alone, once, and not by re-entering."""

from __future__ import annotations

import pytest

from shoal.core.ids import keccak256

from .harness import UNBONDING_S, Reverted
from .scene import KEY, RECIPIENT, Scene

STAKE = 5_000
REFUSED, DONE = 1, 2
GUARD = keccak256(b"ReentrancyGuardReentrantCall()")[:4]


def push(value: bytes) -> bytes:
    return bytes([0x5F + len(value)]) + value


def reentrant(market: bytes, selector: bytes) -> bytes:
    """A contract that forwards calls to the market, and calls `selector` there again whenever the market pays it.

    Slot 0 tells how that second call ended (1 refused, 2 done), slot 1 the first four bytes of its answer.
    """
    call = push(market) + b"\x5a\xf1"  # gas, CALL
    forward = b"\x36\x5f\x5f\x37" + b"\x5f\x5f\x36\x5f\x34" + call  # calldatacopy; out 0 0, in size 0, value
    bubble = b"\x3d\x5f\x5f\x3e\x3d\x5f\xfd"  # returndatacopy, REVERT
    again = b"\x5b" + push(selector) + b"\x5f\x52" + b"\x5f\x5f" + push(b"\x04") + push(b"\x1c") + b"\x5f"
    again += call + push(b"\x01") + b"\x01\x5f\x55"  # SSTORE(0, success + 1)
    again += b"\x60\x04\x5f\x60\x40\x3e\x60\x40\x51\x60\x01\x55\x00"  # SSTORE(1, four bytes returned), STOP
    jump = 1 + len(push(market)) + 1 + 2 + 1
    done_at = jump + len(forward) + 2 + 1 + len(bubble)
    code = b"\x33" + push(market) + b"\x14" + push(bytes([done_at + 2])) + b"\x57"
    code += forward + push(bytes([done_at])) + b"\x57" + bubble + b"\x5b\x00" + again
    return code


def refusing(market: bytes) -> bytes:
    """A contract that forwards calls to the market and reverts when it is paid."""
    return reentrant(market, b"\0\0\0\0").replace(b"\x01\x5f\x55", b"\x5f\x5f\xfd")


def rich_contract(scene: Scene, code: bytes) -> bytes:
    """A contract account with STAKE tinybar to withdraw from the market."""
    address = scene.chain.account("contract", 0)
    scene.chain.state.set_code(address, code)
    steps = (("register", (KEY, RECIPIENT), STAKE), ("requestUnstake", (STAKE,), 0), ("completeUnstake", (), 0))
    for function, args, value in steps:
        scene.chain.now_s += UNBONDING_S * (function == "completeUnstake")
        data = scene.market.encode(function, *args)
        done, _ = scene.chain.transact(scene.stranger, address, data, value=value)
        done.raise_if_error()
    assert scene.account(address)["balance"] == STAKE
    return address


@pytest.mark.parametrize(
    ("function", "outcome", "answer"), [("withdraw", REFUSED, GUARD), ("liabilities", DONE, bytes(4))]
)
def test_reentering(function: str, outcome: int, answer: bytes) -> None:
    """A harmless view may be called from within the payment (so the trap works); a second payment may not."""
    scene = Scene().created()
    selector = scene.market.encode(function)[:4]
    address = rich_contract(scene, reentrant(scene.market.address, selector))
    held = scene.chain.balance(scene.market.address)
    done, _ = scene.chain.transact(scene.stranger, address, scene.market.encode("withdraw"))
    assert not done.is_error
    assert scene.chain.state.get_storage(address, 0) == outcome
    assert scene.chain.state.get_storage(address, 1).to_bytes(32, "big")[:4] == answer
    assert scene.chain.balance(address) == STAKE
    assert scene.chain.balance(scene.market.address) == held - STAKE
    assert scene.account(address)["balance"] == 0


def test_a_payment_that_fails_stays_in_the_balance() -> None:
    scene = Scene().created()
    address = rich_contract(scene, refusing(scene.market.address))
    done, gas = scene.chain.transact(scene.stranger, address, scene.market.encode("withdraw"))
    refused = scene.market.reverted(done.output, gas)
    assert (refused.name, refused.arguments) == ("WithdrawFailed", {"account": address, "amount": STAKE})
    assert scene.account(address)["balance"] == STAKE


def test_withdraws_once_and_only_what_is_the_callers() -> None:
    scene = Scene().created()
    trainer = scene.trainers[0]
    scene.unstake(trainer, 7)
    event = scene.market(trainer, "withdraw").only("Withdrawn")
    assert event == {"account": trainer, "amount": 7}
    with pytest.raises(Reverted, match="NothingToWithdraw"):
        scene.market(trainer, "withdraw")
    with pytest.raises(Reverted, match="NothingToWithdraw"):
        scene.market(scene.client, "withdraw")
