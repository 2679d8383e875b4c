"""`shoal devnet`: what is printed once the local ledger is up."""

from __future__ import annotations

from shoal.adapters.devnet import DevnetEndpoints
from shoal.cli import output


def announce(endpoints: DevnetEndpoints, *, as_json: bool) -> None:
    """One line of JSON on stdout, or the same for people."""
    if as_json:
        output.print_json(endpoints.as_dict())
        return
    for line in endpoints.lines():
        output.stdout.print(line, soft_wrap=True, markup=False)
    output.say("the operator's key is the public developer key: play money only. Ctrl-C ends.")
