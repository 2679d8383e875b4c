"""The child: `python -m shoal.adapters.engine.child SETUP` puts up its walls, proves them, then works off requests.

The walls come before `import torch`, not after: Landlock confines only the calling thread and what that starts, and
torch starts threads as it is imported. That costs nothing, since torch goes on importing parts of itself while it works
and so must be readable behind the walls anyway.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoal.adapters.engine import selftest, walls, wire
from shoal.errors import DataError, EngineError, ModelError

if TYPE_CHECKING:
    from shoal.adapters.engine.jobs import Jobs


def main() -> None:
    setup = wire.Setup.from_json(sys.argv[1])
    replies = _take_stdout()
    if not setup.bubblewrap:
        walls.die_with(setup.parent_pid)
    walls.lower_limits()
    names: list[str] = []
    if setup.walled:
        job_dir, canary = Path(setup.job_dir), Path(setup.canary)
        names = walls.put_up(job_dir, Path(setup.scratch))
        if found := selftest.breaches(job_dir, canary, hidden=setup.bubblewrap):
            _send(replies, wire.encode({"wall": " + ".join(names), "breaches": found}))
            return
    requests = _requests()
    import torch

    torch.set_num_threads(setup.threads)
    torch.set_num_interop_threads(1)
    _send(replies, wire.encode({"wall": " + ".join(names), "breaches": []}))
    jobs = _warm_up(setup)
    for request in requests:
        _send(replies, _answer(jobs, request))


def _warm_up(setup: wire.Setup) -> Jobs:
    """What torch would import at the first step: nobody waits for it yet, and the memory limit starts above it."""
    import torch._dynamo  # noqa: F401

    from shoal.adapters.engine.jobs import Jobs

    return Jobs(setup, walls.limit_memory(setup.memory_limit_bytes, threads=setup.threads))


def _answer(jobs: Jobs, request: dict[str, Any]) -> bytes:
    try:
        return wire.encode({"report": jobs.run(request)})
    except Exception as error:  # a stranger's data may raise anything
        return wire.encode({"error": _describe(error)})


def _describe(error: Exception) -> dict[str, str]:
    if _is_memory(error):
        hint = "raise engine_memory_mib, or leave the task to larger machines"
        return {"code": "SHOAL-E10", "message": "the job needs more memory than the engine may take", "hint": hint}
    if isinstance(error, ModelError | DataError | EngineError):
        return {"code": error.code, "message": error.message[:1000], "hint": error.hint[:500]}
    text = (str(error).strip() or "no text").splitlines()[0][:300]
    hint = "a file of the task may be damaged; if it happens again, it is a fault of shoal worth reporting"
    return {"code": "SHOAL-E01", "message": f"{type(error).__name__}: {text}", "hint": hint}


def _is_memory(error: BaseException | None) -> bool:
    """Whether an allocation failed, however deep below."""
    from shoal.adapters.engine.jobs import NO_MEMORY

    while error is not None:
        if isinstance(error, MemoryError) or any(text in str(error) for text in NO_MEMORY):
            return True
        error = error.__cause__
    return False


# ---------------------------------------------------------------- pipes


def _take_stdout() -> int:
    """Keep the pipe for replies alone: what a library prints goes to stderr. No other handle is left open."""
    os.closerange(3, 65_536)
    replies = os.dup(1)
    os.dup2(2, 1)
    return replies


def _send(replies: int, frame: bytes) -> None:
    while frame:
        frame = frame[os.write(replies, frame) :]


def _requests() -> Iterator[dict[str, Any]]:
    """Requests as they come; the process ends with the pipe, even in the middle of a job."""
    waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        while True:
            (size,) = wire.PREFIX.unpack(_read_exactly(wire.PREFIX.size))
            waiting.put(_read_exactly(size))

    threading.Thread(target=read, daemon=True).start()
    return iter(lambda: wire.decode(waiting.get()), None)


def _read_exactly(size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = os.read(0, size - len(data))
        if not more:
            os._exit(0)
        data += more
    return data


if __name__ == "__main__":
    main()
