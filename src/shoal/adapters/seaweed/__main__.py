"""`python -m shoal.adapters.seaweed --dir D [--port-base N] [--json]`: the embedded S3 server as a child process."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from shoal.adapters.seaweed.command import Layout
from shoal.adapters.seaweed.supervisor import Supervisor
from shoal.errors import ShoalError


def main() -> int:
    """Serve until SIGTERM; the exit status is 0, or the error's."""
    parser = argparse.ArgumentParser(prog="shoal.adapters.seaweed", description="A local S3 server.")
    parser.add_argument("--dir", type=Path, required=True, help="where objects and credentials are kept")
    parser.add_argument("--port-base", type=int, default=0, help="first of five ports, each used again +10000; 0: free")
    parser.add_argument("--json", action="store_true", help="print the endpoint as one line of JSON")
    arguments = parser.parse_args()
    try:
        layout = Layout.open(arguments.dir)

        def announce(endpoint: str) -> None:
            values = {"endpoint": endpoint, "credentials": str(layout.credentials_path)}
            lines = [json.dumps(values)] if arguments.json else [f"{name} {value}" for name, value in values.items()]
            sys.stdout.write("\n".join(lines) + "\n")
            sys.stdout.flush()

        Supervisor(layout, port_base=arguments.port_base, talk=sys.stderr).run(announce)
    except ShoalError as error:
        sys.stderr.write(f"{error.code} {error.message}\n{error.hint}\n")
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
