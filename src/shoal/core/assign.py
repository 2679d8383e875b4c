"""Who holds which chunk: a primary for each, within what it bid for, and the next seat as its backup."""

from __future__ import annotations

from collections.abc import Sequence

from shoal.core.task import Holders, Seat


def assign(seats: Sequence[Seat], chunks: int) -> tuple[Holders, ...]:
    """Deal chunks to the seats in turn, each up to its units; what nobody took on has no holder and lapses.

    >>> [(h.primary, h.backup) for h in assign([seat_of_2, seat_of_1], 3)]
    [(0, 1), (1, 0), (0, 1)]
    """
    room = [seat.units for seat in seats]
    holders: list[Holders] = []
    while len(holders) < chunks and any(room):
        for index in range(len(seats)):
            if room[index] and len(holders) < chunks:
                room[index] -= 1
                backup = (index + 1) % len(seats)
                holders.append(Holders(index, backup if backup != index else None))
    holders += [Holders(None, None)] * (chunks - len(holders))
    return tuple(holders)
