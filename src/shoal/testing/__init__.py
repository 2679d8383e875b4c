"""For tests of shoal and of what is built on it: a model of the contract, and a deterministic simulator of whole tasks.

    from shoal.testing import Fault, simulate

    trace = simulate(seed=7, trainers=5, chunks=8, rounds=3, faults=[Fault.CRASH, Fault.GOSSIP_LOSS])
    assert trace.hash == simulate(seed=7, trainers=5, chunks=8, rounds=3, faults=[Fault.CRASH, Fault.GOSSIP_LOSS]).hash

Nothing here reads a clock, a network or a disk: the same arguments give the same trace in every process.
"""

from shoal.testing.market import Market
from shoal.testing.market_books import Reverted
from shoal.testing.simulator import Trace, simulate
from shoal.testing.world import Fault, Misdeed

__all__ = ["Fault", "Market", "Misdeed", "Reverted", "Trace", "simulate"]
