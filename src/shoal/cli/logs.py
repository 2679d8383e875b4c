"""Logs of every command: Rich on a terminal, a JSON object a line otherwise, and no secret in either.

SHOAL_LOG=debug shoal train ...                      # shoal's own, and what peers and servers do
shoal --log-level warning,shoal.trainer=debug ...    # a level for one part
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from rich.logging import RichHandler

from shoal.cli import output
from shoal.redact import clean
from shoal.settings import parse_log

asked_for = False
"""Whether the command line or the environment says how; else the settings do."""


def set_up(levels: str) -> None:
    """Send all logs to stderr.

    Args:
        levels: as of `settings.parse_log`.

    Raises:
        ValueError: it is none.
    """
    named = parse_log(levels)
    logging.setLogRecordFactory(_record)
    logging.basicConfig(level=logging.WARNING, handlers=[_handler()], force=True)
    for name in _set:
        logging.getLogger(name).setLevel(logging.NOTSET)
    own = named.pop("", logging.INFO)
    # What peers and servers do is for whoever looks for a fault; what they cost is told by the roles.
    defaults = {"shoal": own, "shoal.adapters": own if own <= logging.DEBUG else max(own, logging.WARNING)}
    _set.clear()
    for name, level in {**defaults, **named}.items():
        logging.getLogger(name).setLevel(level)
        _set.add(name)


_set: set[str] = set()
"""Loggers whose level was set here."""


def _handler() -> logging.Handler:
    if sys.stderr.isatty():
        rich = RichHandler(console=output.stderr, show_path=False, rich_tracebacks=False, markup=False)
        rich.setFormatter(Clean("%(name)s: %(message)s"))
        return rich
    plain = _Stderr()
    plain.setFormatter(JsonLines())
    return plain


def _record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    """A record without secrets, whoever formats it: libraries bring handlers of their own."""
    record = logging.LogRecord(*args, **kwargs)
    try:
        message = record.getMessage()
    except Exception:  # its arguments do not fit: the handler will say so
        return record
    if (cleaned := clean(message)) != message:
        record.msg, record.args = cleaned, ()
    if record.exc_info and record.exc_info[0] is not None:
        traceback = _PLAIN.formatException(record.exc_info)
        if (cleaned := clean(traceback)) != traceback:
            # Formatters print this text, and do not look at the exception again.
            record.exc_text, record.exc_info = cleaned, None
    return record


_PLAIN = logging.Formatter()


class Clean(logging.Formatter):
    """Takes secrets out of the message and the traceback alike."""

    def format(self, record: logging.LogRecord) -> str:
        return clean(super().format(record))


class JsonLines(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, and `traceback` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        row: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": clean(record.getMessage()),
        }
        if record.exc_info or record.exc_text:
            row["traceback"] = record.exc_text or clean(self.formatException(record.exc_info))  # type: ignore[arg-type]
        return json.dumps(row)


class _Stderr(logging.StreamHandler[Any]):
    """Whatever stderr is at the moment: a prompt, or a test, may have put something in its place."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr
