"""`shoal ipfs`: adding, fetching, listing and unpinning content on IPFS."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from shoal.cli import output
from shoal.cli.options import Dir, Json
from shoal.core.limits import IPFS_FILE_BYTES, IPFS_PINS, MIB, WEIGHTS_BYTES
from shoal.errors import ConfigError, ShoalError, StorageError, UsageError
from shoal.ports import Progress
from shoal.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Content on IPFS: Pinata, a node of your own, or public gateways.")

Private = Annotated[bool | None, typer.Option("--private/--public", help="On Pinata; default: pinata_network.")]
CidArgument = Annotated[str, typer.Argument(metavar="CID", help="Such as bafkrei..., Qm... or ipfs://...")]
_LARGE_BYTES = 8 * MIB
"""Progress is shown from this size on."""
_TELL_EVERY = 0.05


@app.command("add")
def add(
    path: Annotated[str | None, typer.Argument(metavar="PATH|-", help="A file; - reads standard input.")] = None,
    text: Annotated[str | None, typer.Option("--text", help="A text instead of a file.")] = None,
    name: Annotated[str, typer.Option("--name", help="How it is called in listings; default: the file's name.")] = "",
    private: Private = None,
    directory: Dir = None,
    as_json: Json = False,
) -> None:
    """Upload, verify and pin. What is public can be read by anybody who has its CID, for ever."""
    from shoal.content import is_public, pin_file

    with _shown_errors(as_json):
        settings = _settings(directory, private)
        if private and is_public(settings):
            raise ConfigError(
                "only Pinata keeps private files, and only by its JWT", code="SHOAL-C01", hint="set JWT_TOKEN"
            )
        with _content(path, text) as (file, its_name):
            if is_public(settings):
                output.say("public: anybody who has the CID can read this, and it can never be taken back")
            with _progress("up", as_json=as_json) as progress:
                pin = output.run(
                    lambda: pin_file(settings, file, name=name or its_name, progress=progress), as_json=as_json
                )
    if as_json:
        output.print_json({**asdict(pin), "public": is_public(settings)})
    else:
        output.say(f"{pin.size_bytes} bytes, verified")
        output.stdout.print(pin.cid, soft_wrap=True)


@app.command("get")
def get(
    cid: CidArgument,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Default: the CID; - for standard output.")] = None,
    max_bytes: Annotated[
        int, typer.Option(min=1, max=IPFS_FILE_BYTES, help="A larger file is refused.")
    ] = WEIGHTS_BYTES,
    private: Private = None,
    directory: Dir = None,
    as_json: Json = False,
) -> None:
    """Fetch a file and verify that it is the one that the CID names."""
    from shoal.content import open_source

    with _shown_errors(as_json):
        settings = _settings(directory, private)
        to_stdout = out == Path("-")
        if to_stdout and as_json:
            raise UsageError("--json and -o - cannot go together", code="SHOAL-U23", hint="name a file with -o")
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "out" if to_stdout else out or Path(_file_name(cid))

            async def run(progress: Progress) -> int:
                async with open_source(settings) as source:
                    return await source.fetch(cid, path, max_bytes=max_bytes, progress=progress)

            with _progress("down", as_json=as_json) as progress:
                size = output.run(lambda: run(progress), as_json=as_json)
            if to_stdout:
                with path.open("rb") as file:
                    shutil.copyfileobj(file, sys.stdout.buffer)
                    sys.stdout.flush()
                return
    if as_json:
        output.print_json({"cid": cid, "path": str(path.resolve()), "size_bytes": size, "verified": True})
    else:
        output.say(f"{size} bytes, verified")
        output.stdout.print(str(path), soft_wrap=True)


@app.command("ls")
def ls(
    limit: Annotated[int, typer.Option(min=1, max=IPFS_PINS)] = 1_000,
    private: Private = None,
    directory: Dir = None,
    as_json: Json = False,
) -> None:
    """List what the service keeps."""
    from shoal.content import open_store

    with _shown_errors(as_json):
        settings = _settings(directory, private)

        async def run() -> list[dict[str, object]]:
            async with open_store(settings) as store:
                return [asdict(pin) for pin in await store.pins(limit=limit)]

        rows = output.run(run, as_json=as_json)
    if as_json:
        output.print_json(rows)
        return
    table = Table("cid", "bytes", "pinned", "name", box=None)
    for row in rows:
        size = "" if row["size_bytes"] is None else str(row["size_bytes"])
        table.add_row(str(row["cid"]), size, str(row["pinned_at"])[:19], str(row["name"]))
    output.stdout.print(table)


@app.command("pin")
def pin(
    cid: CidArgument,
    name: Annotated[str, typer.Option("--name", help="How it is called in listings.")] = "",
    directory: Dir = None,
    as_json: Json = False,
) -> None:
    """Have the service keep what is on IPFS already; Pinata looks for it in its own time."""
    from shoal.content import open_store

    with _shown_errors(as_json):
        settings = _settings(directory, None)

        async def run() -> None:
            async with open_store(settings) as store:
                await store.pin(cid, name=name)

        output.run(run, as_json=as_json)
    _done(cid, "asked for", as_json=as_json)


@app.command("unpin")
def unpin(cid: CidArgument, private: Private = None, directory: Dir = None, as_json: Json = False) -> None:
    """Have the service keep it no longer. Others may keep it all the same."""
    from shoal.content import open_store

    with _shown_errors(as_json):
        settings = _settings(directory, private)

        async def run() -> None:
            async with open_store(settings) as store:
                await store.unpin(cid)

        output.run(run, as_json=as_json)
    _done(cid, "unpinned", as_json=as_json)


# ---------------------------------------------------------------- helpers


def _done(cid: str, what: str, *, as_json: bool) -> None:
    if as_json:
        output.print_json({"cid": cid, "done": what})
    else:
        output.say(f"{what}: {cid}")


def _settings(directory: Path | None, private: bool | None) -> Settings:
    network = None if private is None else "private" if private else "public"
    return Settings.load(flags={"dir": directory, "pinata_network": network})


@contextmanager
def _shown_errors(as_json: bool) -> Iterator[None]:
    """Of what comes before trio runs: settings, and reading standard input."""
    try:
        yield
    except ShoalError as error:
        output.show_error(error, as_json=as_json)
        raise SystemExit(error.exit_status) from None


def _file_name(cid: str) -> str:
    """A name for a file, of a text that has not been checked yet."""
    return "".join(char for char in cid.removeprefix("ipfs://") if char.isalnum())[:100] or "content"


@contextmanager
def _content(path: str | None, text: str | None) -> Iterator[tuple[Path, str]]:
    """What is to be added, as a file, and how it is called.

    Raises:
        UsageError: SHOAL-U23, there is nothing to add, or two things; U21, standard input is too large.
    """
    if (path is None) == (text is None):
        raise UsageError("give one thing to add", code="SHOAL-U23", hint="a PATH, - for standard input, or --text TEXT")
    if path is not None and path != "-":
        yield Path(path), Path(path).name
        return
    try:
        with tempfile.NamedTemporaryFile(prefix="shoal-") as file:
            if text is not None:
                file.write(text.encode())
            else:
                while piece := sys.stdin.buffer.read(MIB):
                    file.write(piece)
                    if file.tell() > IPFS_FILE_BYTES:
                        raise UsageError(
                            f"standard input has more than {IPFS_FILE_BYTES} bytes",
                            code="SHOAL-U21",
                            hint="split it",
                        )
            file.flush()
            yield Path(file.name), "stdin" if text is None else "text"
    except OSError as error:
        raise StorageError(
            f"cannot keep standard input for a moment: {error.strerror}", code="SHOAL-S11", hint="set TMPDIR"
        ) from error


@contextmanager
def _progress(way: str, *, as_json: bool) -> Iterator[Progress]:
    """A bar on a terminal, records under --json, nothing else; and only for what takes its time."""
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn(way), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Bar(*columns, console=output.stderr, transient=True, disable=as_json or not sys.stderr.isatty()) as bar:
        task = bar.add_task(way, total=None, visible=False)
        told = 0.0

        def tell(done: int, total: int) -> None:
            nonlocal told
            if total < _LARGE_BYTES:
                return
            bar.update(task, completed=done, total=total, visible=True)
            if as_json and (done / total >= told + _TELL_EVERY or done == total > told * total):
                told = done / total
                output.print_json({"event": "progress", "way": way, "bytes": done, "of_bytes": total})

        yield tell
