"""What stands before every request: the host it asks for, how often it asks, who asks, and how much it sends."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field

import trio
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shoal.api.access import Caller, mark
from shoal.api.problems import Refused, send_problem
from shoal.api.token import FILE
from shoal.errors import UsageError

JSON_BYTES = 256 * 1024
"""Of a request that is no upload."""
_ADDRESSES = 4_096
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOPBACK_NAMES = frozenset({"localhost", "ip6-localhost"})

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Rules:
    """How strict the guard is.

    Args:
        caller: whose an Authorization header is.
        hosts: names besides the loopback ones that a request may ask for; without them a web page whose name was
            pointed at this machine (DNS rebinding) could read what a browser on it may read.
        upload_bytes: of the paths in `uploads`.
        sizes: most bytes of a request to other paths that may be larger than usual.
        private: whether a GET of this path needs the token as well; everything that changes something does.
        open: whether anyone may POST there: to sign in.
        shared: whether a user who has signed in may do this, and not the operator alone.
        careful_per_minute: how often one address may ask what is open.
    """

    caller: Callable[[str | None], Caller | None]
    hosts: frozenset[str] = frozenset()
    requests_per_minute: int = 1_200
    upload_bytes: int = 512 * 1024 * 1024
    uploads: frozenset[str] = frozenset()
    sizes: Mapping[str, int] = field(default_factory=dict)
    private: Callable[[str], bool] = field(default=lambda path: False)
    open: Callable[[str], bool] = field(default=lambda path: False)
    shared: Callable[[str], bool] = field(default=lambda path: False)
    careful_per_minute: int = 30


class Buckets:
    """A token bucket an address: a minute's worth at once, then at the rate.

    >>> buckets = Buckets(2, clock=lambda: 0.0)
    >>> [buckets.wait_s("127.0.0.1") > 0 for _ in range(3)]
    [False, False, True]
    """

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = trio.current_time) -> None:
        self._most, self._clock = float(per_minute), clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """0 if a request may pass now; else how long to wait."""
        now = self._clock()
        left, then = self._left.pop(address, (self._most, now))
        left = min(self._most, left + (now - then) * self._most / 60)
        passes = left >= 1
        self._left[address] = (left - 1 if passes else left, now)
        while len(self._left) > _ADDRESSES:
            self._left.popitem(last=False)
        return 0.0 if passes else (1 - left) * 60 / self._most


class Guard:
    """ASGI middleware: refuses before anything of the body is read."""

    def __init__(self, app: ASGIApp, rules: Rules, buckets: Buckets | None = None) -> None:
        self._app, self._rules = app, rules
        self._buckets = buckets or Buckets(rules.requests_per_minute)
        self._careful = Buckets(rules.careful_per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        rules, path, address = self._rules, scope["path"], (scope.get("client") or ("",))[0]
        caller = rules.caller(headers.get("authorization"))
        mark(scope, caller)
        # Who has signed in is counted by its account: many may come through one proxy.
        wait_s = self._buckets.wait_s(address if caller is None or caller.is_operator else caller.name)
        if scope["method"] not in _SAFE and rules.open(path):
            wait_s = wait_s or self._careful.wait_s(address)
        most = rules.upload_bytes if path in rules.uploads else rules.sizes.get(path, JSON_BYTES)
        if wait_s:
            error = UsageError("too many requests", code="SHOAL-U51", hint=f"try again in {wait_s:.0f} s or later")
            await send_problem(send, error, headers={"Retry-After": str(int(wait_s) + 1)})
        elif not _is_known(headers.get("host", ""), self._rules.hosts):
            hint = "call it by a loopback name, or add this one to the setting api_hosts"
            await send_problem(send, UsageError("this node has another name", code="SHOAL-U60", hint=hint))
        elif self._is_locked(scope) and caller is None:
            await send_problem(send, _unauthorised())
        elif self._is_locked(scope) and caller is not None and not caller.is_operator and not rules.shared(path):
            await send_problem(send, _not_operator())
        elif _length(headers) > most:
            await send_problem(send, _too_large(most))
        else:
            await self._app(scope, _counted(receive, most), send)

    def _is_locked(self, scope: Scope) -> bool:
        if scope["method"] in _SAFE:
            return self._rules.private(scope["path"])
        return not self._rules.open(scope["path"])


class SecurityHeaders:
    """ASGI middleware: what browsers may not do with our answers. A response's own headers win."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


def _is_known(host: str, names: Collection[str]) -> bool:
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    name = name.strip("[]").lower().rstrip(".")
    if name in _LOOPBACK_NAMES or name in names:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _length(headers: Headers) -> int:
    text = headers.get("content-length", "0")
    return int(text) if text.isdecimal() else 0


def _counted(receive: Receive, most: int) -> Callable[[], Awaitable[Message]]:
    """A body without a length, or with a wrong one, is cut off all the same."""
    read = 0

    async def counted() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > most:
            raise Refused(_too_large(most))
        return message

    return counted


def _too_large(most: int) -> UsageError:
    return UsageError(
        f"the request is larger than {most} bytes",
        code="SHOAL-U52",
        hint="of uploads the setting api_upload_mib is the limit",
        money="nothing was spent",
    )


def _unauthorised() -> UsageError:
    return UsageError(
        "this needs the node's token, or a session",
        code="SHOAL-U50",
        hint=f"send 'Authorization: Bearer TOKEN'; the token is in the file {FILE} of the node's directory",
    )


def _not_operator() -> UsageError:
    return UsageError(
        "only the node's operator may do this", code="SHOAL-U86", hint="use a node of your own for it: `shoal up`"
    )
