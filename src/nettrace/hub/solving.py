"""Placements for a server: each solved by a process of its own, so many at once, each with an end.

A solver holds its process for as long as it takes and may hold it for ever; a thread would take the event loop with it.
"""

import asyncio
import os
import resource
import sys
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from nettrace.errors import (
    ConfigError,
    Invalid,
    MissingExtra,
    NetTraceError,
    SolverBusy,
    SolverStopped,
    StoreError,
)
from nettrace.hub.facts import facts
from nettrace.hub.open import folder_of, open_reader
from nettrace.hub.place import Data
from nettrace.hub.placements import (
    Sources,
    Wanted,
    bare_document,
    full_document,
    ground_of,
    history,
    spread,
)
from nettrace.placement.document.brief import Brief
from nettrace.placement.document.compose import composed
from nettrace.placement.document.deploy import deployment
from nettrace.placement.document.markdown import markdown
from nettrace.placement.document.page import page
from nettrace.placement.document.seen import Measured
from nettrace.placement.request import Request
from nettrace.store.rows import Window

AT_ONCE, WAITING = 2, 8
LIMIT_S, SOLVER_S = 60.0, 15.0
"""After so long a solving process is ended; so long its solver looks for one answer."""
MEMORY_BYTES = 4 << 30
PRICE = 5
"""Calls a placement counts as."""
_KEPT = 24
_ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be solved, and what of it is wanted.

    Attributes:
        request: TOML text, or the same as JSON tables.
        bare: the plan without the document.
        forms: also these: `md`, `html`, `files` (to deploy).
        hub: address of the hub the deployed nodes report to.
        folder: data folder of a hub whose own measurements count, or None.
        hosts: those of its targets that whoever asks may see.
        window: from when to when its measurements count, unix ns.
    """

    request: str | dict[str, Any]
    wanted: Wanted = Wanted(generous=True, seconds=SOLVER_S)
    estimates: str = "registry"
    bare: bool = False
    forms: tuple[str, ...] = ()
    hub: str = "https://hub.example.net"
    folder: str | None = None
    hosts: tuple[str, ...] = ()
    window: tuple[int, int] = (0, 0)


class Solved(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    Attributes:
        plan: `nettrace.plan/1`, with the document unless bare.
        request: what was solved, with all that was filled in.
        spread: see `hub.placements.spread`.
        files: (name, text) of what is to be deployed.
    """

    plan: dict[str, Any]
    request: dict[str, Any]
    spread: list[tuple[float, float]] = []
    md: str | None = None
    html: str | None = None
    files: list[tuple[str, str]] = []


class _Failed(msgspec.Struct, frozen=True):
    slug: str
    detail: str
    hint: str


class _Said(msgspec.Struct, frozen=True):
    solved: Solved | None = None
    failed: _Failed | None = None


def measured_by(job: Job, data: Data, hosts: Iterable[str], window: Window) -> Job:
    """The job with what a hub's own nodes measured of these hosts."""
    return msgspec.structs.replace(
        job, folder=str(data.folder), hosts=tuple(sorted(hosts)), window=(window.start, window.end)
    )


def solve(job: Job) -> Solved:
    """The answer, in this process. Blocks for as long as it takes.

    Raises:
        Invalid, MissingExtra, SolverStopped: as `hub.placements.ground_of`.
    """

    def measure(request: Request, brief: Brief) -> Measured:
        return _measured(job, request, brief)

    sources = Sources(facts=facts(), measure=measure, estimates=job.estimates)
    ground = ground_of(job.request, sources, job.wanted)
    document = None if job.bare and not job.forms else composed(ground)
    wants_files = "files" in job.forms and ground.plan.sites
    return Solved(
        plan=bare_document(ground) if job.bare else full_document(ground),
        request=msgspec.to_builtins(ground.request) | {"pair": msgspec.to_builtins(ground.asked.pair)}, spread=spread(ground),
        md=markdown(document) if document and "md" in job.forms else None,
        html=page(document) if document and "html" in job.forms else None,
        files=[(each.name, each.text) for each in deployment(ground, job.hub)] if wants_files else [],
    )  # fmt: skip


def _measured(job: Job, request: Request, brief: Brief) -> Measured:
    if job.folder is None:
        return Measured()
    reader = open_reader(folder_of(Path(job.folder)))
    try:
        return Measured(
            pairs=history(reader, Window(*job.window), request, brief, frozenset(job.hosts).__contains__)
        )
    finally:
        reader.close()


class Solvers:
    """Solving processes of one server.

    Args:
        limit_s: after so long a process is ended.
        at_once, waiting: processes that run, and requests that wait for one, before further ones are refused.
    """

    def __init__(self, limit_s: float = LIMIT_S, at_once: int = AT_ONCE, waiting: int = WAITING) -> None:
        self._limit_s = limit_s
        self._most = at_once + waiting
        self._turn = asyncio.Semaphore(at_once)
        self._there = 0
        self._kept: OrderedDict[bytes, Solved] = OrderedDict()

    async def run(self, job: Job) -> Solved:
        """The answer to a job; of the last few the one given before.

        Raises:
            Invalid, MissingExtra, SolverStopped: as `solve`. SolverBusy: too many wait already.
        """
        asked = msgspec.json.encode(job)
        key = blake2b(asked).digest()
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        if self._there >= self._most:
            raise SolverBusy(f"{self._there} placements are being solved or wait", "Try again in a minute")
        self._there += 1
        try:
            async with self._turn:
                said = await self._said(asked)
        finally:
            self._there -= 1
        if said.solved is None:
            raise _error(said.failed or _Failed("error", "the solver said nothing", ""))
        self._kept[key] = said.solved
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return said.solved

    async def _said(self, asked: bytes) -> _Said:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "nettrace.hub.solving", str(self._limit_s),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, **_ONE_THREAD},
        )  # fmt: skip
        try:
            async with asyncio.timeout(self._limit_s):
                told, _ = await process.communicate(asked)
        except TimeoutError:
            raise _too_long(self._limit_s) from None
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode:
            raise SolverStopped(
                f"the solving process ended with {process.returncode}: it needed more time or memory than it may take",
                "Ask for less at once, or use `nettrace plan`, which has no such limit",
            )
        return msgspec.json.decode(told, type=_Said)


def _too_long(limit_s: float) -> SolverStopped:
    return SolverStopped(
        f"no answer within {limit_s:g} s",
        "Ask without sensitivity and chance, for fewer venues and sites, or use `nettrace plan`, which has no such limit",
    )


def _error(failed: _Failed) -> NetTraceError:
    known = (Invalid, ConfigError, MissingExtra, SolverStopped, StoreError)
    kind: type[NetTraceError] = next((each for each in known if each.slug == failed.slug), NetTraceError)
    made = kind.__new__(kind)
    NetTraceError.__init__(made, failed.detail, failed.hint)
    return made


def main(words: list[str]) -> int:
    """Solve one job from stdin to stdout, and end by oneself even when nobody waits any more."""
    limit_s = float(words[0])
    resource.setrlimit(resource.RLIMIT_CPU, (int(limit_s) + 2, int(limit_s) + 3))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    try:
        said = _Said(solved=solve(job))
    except NetTraceError as error:
        said = _Said(failed=_Failed(error.slug, error.detail, error.hint))
    sys.stdout.buffer.write(msgspec.json.encode(said))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
