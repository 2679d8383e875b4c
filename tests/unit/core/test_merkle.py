"""Proofs prove their own leaf and nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from shoal.core.ids import Address, TaskId, keccak256, word
from shoal.core.merkle import EMPTY_ROOT, AwardLeaf, CreditLeaf, proof, root, verify

TASK = TaskId(b"t" * 32)
LEAVES = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40, unique=True)


@given(LEAVES, st.data())
def test_every_leaf_is_proved_and_no_other(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    path = proof(leaves, index)
    assert verify(leaves[index], path, root(leaves))
    assert len(path) <= (len(leaves) - 1).bit_length()
    other = data.draw(st.binary(min_size=32, max_size=32).filter(lambda leaf: leaf != leaves[index]))
    assert not verify(other, path, root(leaves))


@given(LEAVES.filter(lambda leaves: len(leaves) > 1), st.data())
def test_a_tampered_proof_fails(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    path = list(proof(leaves, index))
    step = data.draw(st.integers(0, len(path) - 1))
    path[step] = keccak256(path[step])
    assert not verify(leaves[index], path, root(leaves))


def test_no_leaves_have_no_root() -> None:
    assert root([]) == EMPTY_ROOT


def test_the_tree_is_that_of_openzeppelin() -> None:
    a, b, c = (keccak256(bytes([i])) for i in range(3))
    pair = keccak256(min(a, b) + max(a, b))
    assert root([a, b, c]) == keccak256(min(pair, c) + max(pair, c))


@given(st.binary(min_size=20, max_size=20), st.integers(0, 2**32 - 1), st.integers(0, 2**16 - 1), st.booleans())
def test_leaves_are_hashed_twice_over_the_words_of_the_abi(who: bytes, units: int, number: int, flag: bool) -> None:
    award = keccak256(keccak256(TASK + word(who) + word(units) + word(number)))
    assert AwardLeaf(Address(who), units, number).hash(TASK) == award
    credit = keccak256(keccak256(TASK + word(who) + word(units) + word(number) + word(int(flag))))
    assert CreditLeaf(Address(who), units, number, flag).hash(TASK) == credit
