"""What `nettrace plan` brings together from outside: results in files, a hub's history, the lab."""

import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from nettrace.cli.output import note
from nettrace.errors import Invalid
from nettrace.runtime.named_file import unreadable

if TYPE_CHECKING:
    from nettrace.placement.document.brief import Brief
    from nettrace.placement.document.seen import Result, Seen
    from nettrace.placement.request import Request

_AT_ONCE = 4


def read_results(words: Iterable[str], brief: "Brief") -> "Iterator[Result]":
    """The results in files: `SITE=FILE`, or `FILE` where each row names its `vantage`.

    Raises:
        Invalid: a file cannot be read, or a row is no result or says not where it was taken.
    """
    from nettrace.placement.document.seen import Result

    for word in words:
        head, mark, tail = word.rpartition("=")
        site, file = (head, tail) if mark else (None, word)
        at = None if site is None else (brief.of_site(site).vantage or site)
        for number, line in enumerate(_lines(file), 1):
            row = _row(line, f"{file}, line {number}")
            vantage = at or row.get("vantage")
            if vantage is None:
                raise Invalid(
                    f"{file}, line {number} does not say where it was taken",
                    f"Name the site: --results SITE={file}",
                )
            yield Result(str(vantage), row)


def _row(line: bytes, where: str) -> dict[str, Any]:
    hint = "Give files written with -o ndjson"
    try:
        row: Any = msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        raise Invalid(f"{where}: no JSON ({error})", hint) from None
    if not isinstance(row, dict) or "schema" not in row:
        raise Invalid(f"{where}: no result of NetTrace", hint)
    return row  # pyright: ignore[reportUnknownVariableType]


def _lines(file: str) -> list[bytes]:
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as problem:
        raise unreadable(file, problem, by="--results", error=Invalid) from problem
    return [line for line in data.splitlines() if line.strip()]


def history(data: Path, hours: float, request: "Request", brief: "Brief") -> "dict[tuple[str, str], Seen]":
    """What a hub's own nodes have measured of the request's pairs in the last hours."""
    from nettrace.hub.open import folder_of, open_reader
    from nettrace.hub.placements import history as held
    from nettrace.store.rows import Window

    now = time.time_ns()
    reader = open_reader(folder_of(data))
    try:
        return held(reader, Window(now - round(hours * 3600e9), now), request, brief)
    finally:
        reader.close()


def from_lab(world: str, request: "Request", brief: "Brief") -> "list[Result]":
    """The test plan's jobs run at the lab's vantages, with real packets; where the system forbids that, the lab's truth."""
    from nettrace.lab.permission import lab_obstacle
    from nettrace.lab.session import RunningLab
    from nettrace.lab.truth import Oracle
    from nettrace.lab.worldfile import load
    from nettrace.placement.document.seen import Result

    obstacle = lab_obstacle()
    if obstacle is not None:
        note(
            f"nettrace: no packets: {obstacle}. The lab's truth is used instead, and called given, not measured"
        )
        return truth_of(Oracle(load(world)), request, brief)
    with RunningLab.start(world) as lab:
        known = set(lab.oracle().topology.vantages)
        sites = [(site.name, brief.of_site(site.name).vantage) for site in request.site]
        wanted = [(name, code) for name, code in sites if code in known]
        note(
            f"nettrace: measuring in the lab's world '{world}' from {', '.join(code or '' for _, code in wanted)}"
        )

        def measure(pair: tuple[str, str | None]) -> list[Result]:
            return _at_vantage(lab, pair, request, brief)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = pool.map(measure, wanted)
            return [result for results in found for result in results]


def _at_vantage(lab: Any, pair: tuple[str, str | None], request: "Request", brief: "Brief") -> "list[Result]":
    from nettrace.placement.document.jobs import Effort, jobs
    from nettrace.placement.document.seen import Result

    name, code = pair
    effort = Effort(pings=11, ping_gap_s=0.2, requests=11, request_gap_s=0.0, cold=6)
    made: list[Result] = []
    for job in jobs(request, brief, effort, cold=name == brief.now):
        done = lab.run(code, [sys.executable, "-m", "nettrace", *job.words])
        made += [Result(code or "", msgspec.json.decode(line)) for line in done.stdout.splitlines()]
        if not done.stdout:
            note(
                f"nettrace: {name}: nettrace {job.words[0]} gave nothing: {done.stderr.strip().splitlines()[-1:]}"
            )
    return made


def truth_of(oracle: Any, request: "Request", brief: "Brief") -> "list[Result]":
    """The truth of every pair the request names, as results."""
    from nettrace.placement.document.seen import Result, host_of_url

    known = oracle.topology
    made: list[Result] = []
    for site in request.site:
        vantage = brief.of_site(site.name).vantage
        for venue in request.venue if vantage in known.vantages else ():
            note_ = brief.of_venue(venue.name)
            for host in dict.fromkeys((note_.host, host_of_url(note_.url), *note_.nearer)):
                if host in known.targets and oracle.pair(vantage, host)["reaches"]:
                    made.append(Result(vantage or "", oracle.pair(vantage, host)))
    return made


def write_files(files: Iterable[Any], folder: Path) -> list[Path]:
    """Each file below a folder, made where it is missing; a file that is there is not overwritten.

    Raises:
        Invalid: one is there already; nothing was written.
    """
    made = [(folder / file.name, file.text) for file in files]
    there = [path for path, _ in made if path.exists()]
    if there:
        raise Invalid(f"{there[0]} is there already: nothing was written", "Name an empty folder")
    for path, text in made:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if path.suffix == ".sh":
            path.chmod(0o755)
    return [path for path, _ in made]
