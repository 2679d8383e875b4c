"""`python -m shoal.adapters.devnet --dir D [--port-base N] [--json]`: the devnet as a child process."""

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
    parser.add_argument("--json", action="store_true", help="print the endpoints as one line of JSON")
    arguments = parser.parse_args()

    def announce(endpoints: DevnetEndpoints) -> None:
        values = endpoints.as_dict()
        lines = [json.dumps(values)] if arguments.json else [f"{name} {value}" for name, value in values.items()]
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()

    try:
        run(DevnetConfig(arguments.dir, arguments.port_base), announce)
    except ShoalError as error:
        sys.stderr.write(f"{error.code} {error.message}\n{error.hint}\n")
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
