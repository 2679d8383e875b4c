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
from shoal.learn import __name__ as _  # noqa: F401  the package is found before the walls stand

if TYPE_CHECKING:
    from shoal.adapters.engine.jobs import Jobs

_NO_MEMORY = ("DefaultCPUAllocator", "std::bad_alloc", "Cannot allocate memory")


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
            _send(replies, {"wall": " + ".join(names), "breaches": found})
            return
    requests = _requests()
    jobs = _start_torch(setup)
    _send(replies, {"wall": " + ".join(names), "breaches": []})
    for request in requests:
        _send(replies, _answer(jobs, request))


def _start_torch(setup: wire.Setup) -> Jobs:
    import torch

    from shoal.adapters.engine.jobs import Jobs

    torch.set_num_threads(setup.threads)
    torch.set_num_interop_threads(1)
    return Jobs(setup, walls.limit_memory(setup.memory_limit_bytes, threads=setup.threads))


def _answer(jobs: Jobs, request: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"report": jobs.run(request)}
    except Exception as error:  # a stranger's data may raise anything
        known = isinstance(error, ModelError | DataError | EngineError)
        if _is_memory(error):
            known, code, text, hint = False, "SHOAL-E10", "not enough memory under the limit of this process", ""
        else:
            code, text, hint = "SHOAL-E01", f"{type(error).__name__}: {_first_line(error)}", ""
        if known:
            assert isinstance(error, ModelError | DataError | EngineError)
            code, text, hint = error.code, error.message, error.hint
        return {"error": {"code": code, "message": text[:1000], "hint": hint[:500]}}


def _is_memory(error: BaseException | None) -> bool:
    """Whether an allocation failed, however deep below."""
    while error is not None:
        if isinstance(error, MemoryError) or any(text in str(error) for text in _NO_MEMORY):
            return True
        error = error.__cause__
    return False


def _first_line(error: Exception) -> str:
    return (str(error).strip() or "no text").splitlines()[0][:300]


# ---------------------------------------------------------------- pipes


def _take_stdout() -> int:
    """Keep the pipe for replies alone: what a library prints goes to stderr. No other handle is left open."""
    os.closerange(3, 65_536)
    replies = os.dup(1)
    os.dup2(2, 1)
    return replies


def _send(replies: int, message: dict[str, Any]) -> None:
    frame = memoryview(wire.encode(message))
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
    while True:
        yield wire.decode(waiting.get())


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
