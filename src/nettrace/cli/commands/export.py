"""`nettrace export`: what a hub has stored, as a file: from its data folder on this machine, or over its API."""

import hashlib
import os
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import click

from nettrace.cli.exits import FAILED
from nettrace.cli.output import note
from nettrace.errors import (
    AccessError,
    Invalid,
    MissingExtra,
    NetTraceError,
    NotFound,
    Unauthenticated,
    Unreachable,
)
from nettrace.model.instant import NS_PER_S, Instant, rfc3339

FORMS = ("parquet", "csv", "ndjson", "arrow")
WORDS = ("csv", "ndjson")
"""Forms that may follow each other in one stream."""
POLL_S = 0.5
DAY_NS = 86_400 * NS_PER_S


@click.command("export")
@click.argument("hosts", nargs=-1, required=True, metavar="HOST...")
@click.option(
    "--from",
    "start",
    metavar="TIME",
    help="Inclusive; RFC 3339 or a day, UTC. Default: 24 hours before --to.",
)
@click.option("--to", "end", metavar="TIME", help="Exclusive. Default: now.")
@click.option("--format", "form", type=click.Choice(FORMS), default="csv", show_default=True)
@click.option(
    "--region", "regions", multiple=True, metavar="CODE", help="Only from this vantage; repeatable."
)
@click.option(
    "--method", "methods", multiple=True, metavar="METHOD", help="Only icmp, tcp, http ...; repeatable."
)
@click.option(
    "--resolution", type=click.Choice(["raw", "1m", "15m", "1h", "1d"]), default="raw", show_default=True
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="File to write; a folder for several. Default: stdout."
)
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), help="Data folder of a hub on this machine."
)
@click.option("--hub", "url", metavar="URL", help="Ask a hub's API instead; its key in NETTRACE_KEY.")
def command(
    hosts: Sequence[str], start: str | None, end: str | None, form: str, regions: Sequence[str],
    methods: Sequence[str], resolution: str, out: Path | None, data: Path | None, url: str | None,
) -> None:  # fmt: skip
    """Rounds of HOST... as CSV, NDJSON, Parquet or Arrow; RTTs and times are integers in ns.

    Columns: docs/guides/export.md. `null` (an empty field of CSV) is "not measured".
    """
    until = _instant(end) if end is not None else time.time_ns()
    since = _instant(start) if start is not None else until - DAY_NS
    if since >= until:
        raise click.UsageError("--from is not before --to")
    if url is not None and data is not None:
        raise click.UsageError("either --data or --hub")
    if form not in WORDS and out is None and sys.stdout.isatty():
        raise click.UsageError(f"{form} is not for a terminal: name a file with --out")
    asked: dict[str, Any] = {
        "hosts": list(hosts), "start": rfc3339(since), "end": rfc3339(until), "format": form,
        "regions": list(regions), "methods": list(methods), "resolution": resolution,
    }  # fmt: skip
    rows = _from_hub(url, asked, out) if url is not None else _from_folder(data, asked, (since, until), out)
    note(f"{rows} rows")
    if rows == 0:
        note("nothing was stored of that")
        raise click.exceptions.Exit(FAILED)


def _instant(text: str) -> Instant:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(f"'{text}' is no time", "Write 2026-01-31 or 2026-01-31T12:00:00Z") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * NS_PER_S + moment.microsecond * 1000


def _from_folder(
    data: Path | None, asked: dict[str, Any], window: tuple[Instant, Instant], out: Path | None
) -> int:
    """Read the store itself; the hub may run meanwhile."""
    from nettrace.hub import export as job
    from nettrace.hub.open import folder_of, open_reader
    from nettrace.model.target import RoundMethod
    from nettrace.store.rows import Export, Resolution, Window

    try:
        methods = tuple(RoundMethod(each) for each in asked["methods"])
    except ValueError:
        raise Invalid(
            f"unknown method in {asked['methods']}", f"There are {', '.join(RoundMethod)}"
        ) from None
    wanted = Export(
        id="exp_here", account="self", targets=tuple(asked["hosts"]), vantages=tuple(asked["regions"]), methods=methods,
        window=Window(*window), form=asked["format"], resolution=Resolution(asked["resolution"]),
        created_at=time.time_ns(),
    )  # fmt: skip
    reader = open_reader(folder_of(data))
    try:
        _known(asked["hosts"], [target.host for target in reader.targets()])
        rows = 0
        with _binary(out) as file:
            sink = job.sink(file, wanted.form, wanted.resolution)
            for page in job.pages(reader, wanted, wanted.window):
                rows += len(page["target"])
                sink.write(page)
            sink.close()
        return rows
    finally:
        reader.close()


def _known(hosts: Sequence[str], targets: Sequence[str]) -> None:
    from difflib import get_close_matches

    for host in hosts:
        if host not in targets:
            close = get_close_matches(host, targets, n=1)
            raise NotFound(
                f"no target '{host}'", f"Did you mean '{close[0]}'?" if close else "nettrace targets list"
            )


@contextmanager
def _binary(out: Path | None) -> Generator[IO[bytes]]:
    """The file under another name until it is complete, or stdout."""
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = out.with_name(out.name + ".part")
    with part.open("wb") as file:
        yield file
    part.rename(out)


def _from_hub(url: str, asked: dict[str, Any], out: Path | None) -> int:
    """Have the hub make the files, and fetch them; each is checked against its SHA-256."""
    try:
        import httpx2
    except ImportError:
        raise MissingExtra("client", "nettrace export --hub") from None
    key = os.environ.get("NETTRACE_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with httpx2.Client(base_url=url, headers=headers, timeout=60) as client:
        try:
            job = _good(client.post("/api/v1/exports", json=asked)).json()
            while job["state"] in {"queued", "running"}:
                time.sleep(POLL_S)
                job = _good(client.get(f"/api/v1/exports/{job['id']}")).json()
            if job["state"] != "done":
                raise NetTraceError(f"the export {job['id']} is {job['state']}: {job['problem']}")
            several = len(job["files"]) > 1
            if several and asked["format"] not in WORDS and (out is None or not out.is_dir()):
                raise Invalid(f"there are {len(job['files'])} files", "Name a folder that exists with --out")
            for number, file in enumerate(job["files"]):
                content = _good(client.get(file["url"])).content
                if hashlib.sha256(content).hexdigest() != file["sha256"]:
                    raise NetTraceError(f"{file['name']} arrived damaged", "Try again")
                _put(content, file["name"], out, asked["format"], first=number == 0)
        except httpx2.HTTPError as error:
            raise Unreachable(f"{url} does not answer ({error})", "Is the hub running there?") from error
    return int(job["rows"])


def _good(answer: Any) -> Any:
    """The answer, when it is not a problem."""
    if answer.status_code < 400:
        return answer
    try:
        told = answer.json()
        detail, hint = str(told["detail"]), str(told.get("hint", ""))
    except (ValueError, KeyError, TypeError):
        detail, hint = f"HTTP {answer.status_code}", ""
    kinds: dict[int, type[NetTraceError]] = {
        401: Unauthenticated,
        403: AccessError,
        404: NotFound,
        400: Invalid,
    }
    raise kinds.get(answer.status_code, NetTraceError)(detail, hint)


def _put(content: bytes, name: str, out: Path | None, form: str, *, first: bool) -> None:
    """One file of the export: by itself in a folder, or behind the one before."""
    if out is not None and out.is_dir():
        (out / name).write_bytes(content)
        return
    if form == "csv" and not first:
        content = content.partition(b"\n")[2]
    if out is None:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    with out.open("wb" if first else "ab") as file:
        file.write(content)
