"""`python -m shoal.adapters.devnet --dir D [--port-base N] ...`: the devnet as a child process."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from shoal.adapters.devnet import DevnetConfig, DevnetEndpoints, run
from shoal.errors import ShoalError


def main() -> int:
    """Serve until SIGTERM; the exit status is 0, or the error's."""
    parser = argparse.ArgumentParser(prog="shoal.adapters.devnet", description="A local Hedera network.")
    parser.add_argument("--dir", type=Path, required=True, help="where the ledger is kept")
    parser.add_argument("--port-base", type=int, default=50211, help="first of three ports; 0 takes free ones")
    parser.add_argument("--local-node", action="store_true", help="use the ports where SDKs look for a local network")
    parser.add_argument("--accounts", type=int, default=0, help="how many funded accounts to have")
    parser.add_argument("--block-time", type=float, help="seconds between blocks, for a new ledger")
    parser.add_argument("--control", action="store_true", help="let tests move time, by POST to /control/clock")
    parser.add_argument("--json", action="store_true", help="print the endpoints as one line of JSON")
    arguments = parser.parse_args()

    config = DevnetConfig(
        arguments.dir,
        arguments.port_base,
        local_node=arguments.local_node,
        accounts=arguments.accounts,
        block_time_s=arguments.block_time,
        control=arguments.control,
    )

    def announce(endpoints: DevnetEndpoints) -> None:
        values = endpoints.as_dict()
        lines = [json.dumps(values)] if arguments.json else endpoints.lines()
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()

    try:
        run(config, announce)
    except ShoalError as error:
        sys.stderr.write(f"{error.code} {error.message}\n{error.hint}\n")
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
