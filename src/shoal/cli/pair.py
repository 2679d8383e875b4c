"""`shoal pair`: a code by which a page of the operator's gets a session, asked of the running node."""

from __future__ import annotations

from pathlib import Path

import httpx

from shoal.api.problems import parse_problem
from shoal.api.server import URL_FILE
from shoal.api.token import FILE
from shoal.cli import output
from shoal.errors import ConfigError, UsageError

TIMEOUT_S = 10.0


async def pair(directory: Path, *, as_json: bool) -> None:
    """Print a code, and the address that carries it where browsers do not send it: after the #."""
    url, code = await _ask(directory)
    if as_json:
        output.print_json({"code": code, "url": f"{url}/#pair={code}"})
    else:
        show(url, code)


def show(url: str, code: str) -> None:
    """For people."""
    output.say(f"pairing code {code}, good once and for two minutes; or open\n{url}/#pair={code}")


async def _ask(directory: Path) -> tuple[str, str]:
    try:
        url, token = ((directory / name).read_text().strip() for name in (URL_FILE, FILE))
    except OSError as error:
        raise _away(f"no client node has run in {directory}") from error
    # A proxy from the environment never stands between a machine and itself.
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S, trust_env=False) as http:
        try:
            answer = await http.post("/api/v1/pairing", headers={"Authorization": f"Bearer {token}"})
        except httpx.HTTPError as error:
            raise _away(f"the node of {directory} does not answer at {url}") from error
    if answer.status_code != 201:
        problem = parse_problem(answer.content)
        raise UsageError(problem.detail, code=problem.code, hint=problem.hint)
    return url, str(answer.json()["code"])


def _away(what: str) -> ConfigError:
    return ConfigError(
        what,
        code="SHOAL-C40",
        hint="start it with `shoal up` or `shoal node run --role client`, and name its directory with --dir",
    )
