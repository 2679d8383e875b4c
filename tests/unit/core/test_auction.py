"""The auction: cheapest first, one price, nobody holds more than it bid for."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from shoal.core import limits
from shoal.core.auction import Award, Bid, clear
from shoal.core.codec import encode
from shoal.core.ids import Address, TaskId
from shoal.core.merkle import verify
from shoal.core.money import Tinybar

TASK = TaskId(b"t" * 32)
CEILING = Tinybar(50)


def bid(who: int, price: int, units: int = 4, *, expires: int = 100, salt: int = 0) -> Bid:
    return Bid(Address(who.to_bytes(20, "big")), Tinybar(price), units, 0.5, expires, salt.to_bytes(32, "big"))


BIDS = st.lists(
    st.builds(
        bid,
        st.integers(1, 12),
        st.integers(0, 60),
        st.integers(0, 6),
        expires=st.sampled_from([9, 10, 11]),
        salt=st.integers(0, 3),
    ),
    max_size=14,
)


def cleared(bids: list[Bid], *, chunks: int = 8, seats: int = 4, min_trainers: int = 2) -> Award | None:
    return clear(bids, task=TASK, chunks=chunks, seats=seats, min_trainers=min_trainers, ceiling=CEILING, now_s=10)


@given(BIDS, st.integers(1, 12), st.integers(1, 6), st.randoms())
def test_every_award_is_sound(bids: list[Bid], chunks: int, seats: int, random: Random) -> None:
    award = cleared(bids, chunks=chunks, seats=seats, min_trainers=1)
    shuffled = list(bids)
    random.shuffle(shuffled)
    assert cleared(shuffled, chunks=chunks, seats=seats, min_trainers=1) == award
    if award is None:
        return
    valid = [each for each in bids if 0 < each.unit_price <= CEILING and each.units and each.expires >= 10]
    cheapest = {
        who: min((each for each in valid if each.trainer == who), key=lambda b: (b.unit_price, b.commitment(TASK)))
        for who in {each.trainer for each in valid}
    }
    primaries = [leaf for leaf in award.leaves if leaf.rank == 0]
    standbys = [leaf for leaf in award.leaves if leaf.rank]
    assert len({leaf.trainer for leaf in award.leaves}) == len(award.leaves)
    assert sum(leaf.units for leaf in primaries) == chunks
    assert all(0 < leaf.units <= cheapest[leaf.trainer].units for leaf in award.leaves)
    assert [leaf.rank for leaf in standbys] == list(range(1, len(standbys) + 1))
    assert len(standbys) <= len(primaries) <= min(seats, chunks)
    assert all(cheapest[leaf.trainer].unit_price <= award.unit_price <= CEILING for leaf in primaries)
    left_out = cheapest.keys() - {leaf.trainer for leaf in primaries}
    prices = [cheapest[who].unit_price for who in left_out] or [cheapest[leaf.trainer].unit_price for leaf in primaries]
    assert award.unit_price == (min(prices) if left_out else max(prices))


@given(BIDS)
def test_every_leaf_can_be_proved(bids: list[Bid]) -> None:
    award = cleared(bids)
    for leaf in award.leaves if award else ():
        found = award.proof(TASK, leaf.trainer) if award else None
        assert award and found and found[0] == leaf and verify(leaf.hash(TASK), found[1], award.root(TASK))


def test_the_first_bid_left_out_sets_the_price() -> None:
    award = cleared([bid(1, 10), bid(2, 20), bid(3, 30), bid(4, 40)], seats=2)
    assert award is not None and award.unit_price == 30
    assert [(leaf.trainer[-1], leaf.units, leaf.rank) for leaf in award.leaves] == [
        (1, 4, 0),
        (2, 4, 0),
        (3, 4, 1),
        (4, 4, 2),
    ]


def test_ones_own_price_never_sets_what_one_is_paid_while_another_is_left_out() -> None:
    others = [bid(2, 20), bid(3, 30)]
    paid = {cleared([bid(1, price), *others], seats=2).unit_price for price in range(1, 30)}  # type: ignore[union-attr]
    assert paid == {30}


def test_too_few_or_too_small_bids_carry_nothing() -> None:
    assert cleared([bid(1, 10)]) is None
    assert cleared([bid(1, 10, 2), bid(2, 10, 2)], chunks=8) is None
    assert cleared([bid(1, 51), bid(2, 52)]) is None


def test_an_award_of_all_seats_fits_one_entry_whatever_the_number_of_bids() -> None:
    crowd = [bid(who, 10, 1) for who in range(1, 4 * limits.SEATS)]
    award = cleared(crowd, chunks=limits.CHUNKS, seats=limits.SEATS)
    assert award is not None
    leaves = [[leaf.trainer, leaf.units, leaf.rank] for leaf in award.leaves]
    assert len(encode(leaves)) < limits.LOG_ENTRY_BYTES - 512


def test_a_commitment_binds_every_field() -> None:
    base = bid(1, 10)
    others = [bid(2, 10), bid(1, 11), bid(1, 10, 5), bid(1, 10, expires=99), bid(1, 10, salt=1)]
    assert base.commitment(TASK) not in {each.commitment(TASK) for each in others}
    assert base.commitment(TASK) != base.commitment(TaskId(b"u" * 32))
