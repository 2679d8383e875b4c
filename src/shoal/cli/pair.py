"""`shoal pair`: a code by which a page of the operator's gets a session, asked of the running node."""

from __future__ import annotations

from shoal.cli import output
from shoal.cli.net import request_running
from shoal.errors import ConfigError
from shoal.node import running_at
from shoal.settings import Settings


async def pair(settings: Settings, *, as_json: bool) -> None:
    """Print a code, and the address that carries it where browsers do not send it: after the #.

    Raises:
        ConfigError: SHOAL-C40, no client node runs with this directory.
    """
    answer = await request_running(settings, "url", "POST", "/api/v1/pairing")
    url = running_at(settings).get("url")
    if answer is None or url is None:
        raise ConfigError(
            f"no client node runs with the directory {settings.dir}",
            code="SHOAL-C40",
            hint="start it with `shoal up` or `shoal node run --role client`, and name its directory with --dir",
        )
    code = str(answer["code"])
    if as_json:
        output.print_json({"code": code, "url": f"{url}/#pair={code}"})
    else:
        show(url, code)


def show(url: str, code: str) -> None:
    """For people."""
    output.say(f"pairing code {code}, good once and for two minutes; or open\n{url}/#pair={code}")
