"""Who holds which chunk: a primary and a backup for each, nobody more of either than it bid for."""

from __future__ import annotations

from collections.abc import Sequence

from shoal.core.task import Holders, Seat


def assign(seats: Sequence[Seat], chunks: int) -> tuple[Holders, ...]:
    """Deal chunks to the seats in turn, each up to its units; what nobody took on has no holder and lapses.

    >>> [(h.primary, h.backup) for h in assign([seat_of_2, seat_of_1], 3)]
    [(0, 1), (1, 0), (0, None)]
    """
    room, spare = [seat.units for seat in seats], [seat.units for seat in seats]
    primaries: list[int | None] = []
    while len(primaries) < chunks and any(room):
        for index in range(len(seats)):
            if room[index] and len(primaries) < chunks:
                room[index] -= 1
                primaries.append(index)
    holders: list[Holders] = []
    for primary in primaries:
        backup = None if primary is None else _next_with(spare, primary)
        if backup is not None:
            spare[backup] -= 1
        holders.append(Holders(primary, backup))
    return tuple(holders) + (Holders(None, None),) * (chunks - len(holders))


def _next_with(spare: Sequence[int], after: int) -> int | None:
    """The next seat in turn that has room for one more backup."""
    turn = ((after + step) % len(spare) for step in range(1, len(spare)))
    return next((index for index in turn if spare[index]), None)
