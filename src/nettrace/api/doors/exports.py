"""Exports: one target's rounds at once, or anything as a job with files and a manifest."""

import asyncio
import sys
from contextlib import suppress
from typing import Annotated

import msgspec

from nettrace.api import asked, schema, shapes
from nettrace.api.asked import DAY_NS, AsOf, Paged, Region, Windowed
from nettrace.api.call import Call
from nettrace.api.doors.measurements import meant_not
from nettrace.api.given import Answer
from nettrace.api.idempotent import identifier
from nettrace.api.operation import NoQuery, Operation
from nettrace.api.points import FIELDS, points
from nettrace.api.problems import BadRequest, Fault
from nettrace.api.service import Service
from nettrace.errors import Conflict, IdempotencyMismatch, Invalid, NetTraceError, NotFound
from nettrace.hub import export as job
from nettrace.hub import keys, query
from nettrace.hub.link import HubWriter
from nettrace.model.account import Feature
from nettrace.model.instant import Instant, rfc3339
from nettrace.model.target import RoundMethod, Series
from nettrace.store.port import Choice, StoreReader
from nettrace.store.rows import Export, ExportState, RawColumns, Resolution, Window

MOST_OPEN = 3
SWEEP_S = 10.0


class ExportQuery(Windowed, frozen=True, kw_only=True):
    """Which rounds."""

    region: Region = ()
    method: RoundMethod | None = None
    as_of: AsOf | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=50_000)] = 10_000


async def export_host(call: Call) -> Answer:
    """Raw rounds of one target, by time, a large page at once."""
    target = asked.target_in(call)
    wanted: ExportQuery = call.query
    place = asked.position(call, tuple[Instant, Instant, Instant, Series])
    window = asked.window_of(call, wanted.start, wanted.end, 30 * DAY_NS).window
    if place is not None:
        window = Window(place[0], place[1])
    known_by = asked.as_of(call, wanted.as_of)
    question = query.Question(
        choice=Choice(
            targets=(target.host,), vantages=asked.regions_in(call.snapshot, wanted.region),
            methods=() if wanted.method is None else (wanted.method.value,),
        ),
        window=window, resolution=Resolution.RAW, quantiles=(), as_of=known_by, limit=wanted.limit,
    )  # fmt: skip
    after = None if place is None else (place[2], place[3])

    def read(reader: StoreReader) -> tuple[RawColumns, list[schema.RawRow], bool]:
        rounds, more = query.raw_page(reader, question, after, fields=FIELDS)
        return rounds, points(rounds), more

    rounds, rows, more = await call.service.readers.run(read)
    cursor = (
        asked.sealed(call, (window.start, window.end, rounds.due[-1], rounds.series[-1])) if more else None
    )
    page = schema.ExportPage(
        data=rows, host=target.host, window=shapes.window_shape(window), export_rows=len(rows),
        history_days=call.caller.tier.history_days, has_more=more, next_cursor=cursor,
    )  # fmt: skip
    return Answer(
        content=page, next_cursor=cursor, fresh_s=60, immutable=asked.closed(call, window, known_by)
    )


class JobQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether it is meant."""

    dry_run: (
        Annotated[str, msgspec.Meta(description="`1`: say what it would cost, and do nothing.")] | None
    ) = None


async def create_export(call: Call) -> Answer:
    """Queue an export; 202 with where its state and files will be."""
    wanted = _export(call, call.body)
    if meant_not(call.query.dry_run):
        return Answer(content=await _preview(call, wanted), fresh_s=None)
    held = await _held(call)
    known = next((each for each in held if each.id == wanted.id), None)
    if known is not None:
        for name in ("targets", "vantages", "methods", "window", "form", "resolution"):
            if getattr(known, name) != getattr(wanted, name):
                raise IdempotencyMismatch(
                    f"this Idempotency-Key came with another {name} before", "Use a new key"
                )
        return Answer(content=_shape(known), status=202, headers=_where(known.id), fresh_s=None)
    if sum(each.state in {ExportState.QUEUED, ExportState.RUNNING} for each in held) >= MOST_OPEN:
        raise Conflict(f"{MOST_OPEN} exports are under way already", "Wait for one of them: /api/v1/exports")
    await call.service.writer.call(HubWriter.put_export, wanted)
    call.service.exporter(call.service)
    return Answer(content=_shape(wanted), status=202, headers=_where(wanted.id), fresh_s=None)


def _export(call: Call, body: schema.ExportAsk) -> Export:
    start, end = asked.instant(body.start, "start"), asked.instant(body.end, "end")
    if start >= end:
        raise BadRequest((Fault(pointer="#/body/start", detail="the window ends before it begins"),))
    window = call.service.access.window(call.caller, Window(start, min(end, call.now)), call.now)
    if window.start >= window.end:
        raise BadRequest((Fault(pointer="#/body/start", detail="the window lies outside of your history"),))
    if body.format not in job.FORMS:
        raise Invalid(f"no format '{body.format[:20]}'", f"There are {', '.join(job.FORMS)}")
    try:
        resolution = Resolution(body.resolution)
        methods = tuple(sorted({RoundMethod(each) for each in body.methods}))
    except ValueError as error:
        raise Invalid(
            str(error)[:100], "Resolutions: raw 1m 15m 1h 1d. Methods: " + " ".join(RoundMethod)
        ) from None
    hosts = [query.target_of(call.snapshot, host, call.caller.account).host for host in body.hosts]
    everything = [target.host for target in call.snapshot.visible(call.caller.account)]
    return Export(
        id=identifier(call, "exp_") or keys.identifier("exp_"), account=call.caller.account,
        targets=tuple(sorted(set(hosts or everything))), vantages=asked.regions_in(call.snapshot, tuple(body.regions)),
        methods=methods, window=window, form=body.format, resolution=resolution, created_at=call.now,
    )  # fmt: skip


async def _preview(call: Call, wanted: Export) -> schema.CostPreview:
    choice = Choice(
        targets=wanted.targets, vantages=wanted.vantages, methods=tuple(each.value for each in wanted.methods)
    )
    found = await call.service.readers.run(lambda reader: reader.summary(choice, wanted.window))
    rows = sum(row.rounds for row in found)
    return schema.CostPreview(
        calls=1, probes=0, packets=0, bytes=rows * job.BYTES_PER_ROW[wanted.form], rows=rows, usd=0.0,
        eta_s=round(1 + rows / 50_000, 1),
    )  # fmt: skip


async def _held(call: Call) -> list[Export]:
    account = call.caller.account
    return await call.service.readers.run(lambda reader: reader.exports(account))


def _where(identity: str) -> dict[str, str]:
    return {"Location": f"/api/v1/exports/{identity}"}


def _shape(export: Export) -> schema.ExportShape:
    return schema.ExportShape(
        id=export.id, state=export.state, format=export.form, resolution=export.resolution,
        hosts=list(export.targets), regions=list(export.vantages), methods=[each.value for each in export.methods],
        window=shapes.window_shape(export.window), created_at=rfc3339(export.created_at),
        finished_at=shapes.maybe(export.finished_at),
        expires_at=shapes.maybe(None if export.finished_at is None else export.finished_at + job.KEPT_NS),
        rows=sum(file.rows for file in export.files), bytes=sum(file.bytes for file in export.files),
        files=[
            schema.ExportFileShape(
                name=file.name, url=f"/api/v1/exports/{export.id}/files/{file.name}", bytes=file.bytes,
                rows=file.rows, sha256=file.sha256, start=rfc3339(file.start), end=rfc3339(file.end),
            )
            for file in export.files
        ],
        problem=export.problem,
    )  # fmt: skip


async def exports(call: Call) -> Answer:
    """The account's exports, newest first."""
    wanted: Paged = call.query
    after = asked.position(call, tuple[Instant, str])
    held = sorted(await _held(call), key=lambda each: (each.created_at, each.id), reverse=True)
    rest = [each for each in held if after is None or (each.created_at, each.id) < after]
    page, more = rest[: wanted.limit], len(rest) > wanted.limit
    cursor = asked.sealed(call, (page[-1].created_at, page[-1].id)) if more else None
    return Answer(
        content=schema.Page[schema.ExportShape](
            data=[_shape(each) for each in page], has_more=more, next_cursor=cursor
        ),
        next_cursor=cursor, fresh_s=1,
    )  # fmt: skip


async def _one(call: Call) -> Export:
    found = next((each for each in await _held(call) if each.id == call.path["id"]), None)
    if found is None:
        raise NotFound(f"no export '{call.path['id'][:60]}'", "See /api/v1/exports")
    return found


async def export(call: Call) -> Answer:
    """An export's state, and its manifest when it is done."""
    return Answer(content=_shape(await _one(call)), fresh_s=1)


async def export_file(call: Call) -> Answer:
    """A file of an export, in ranges if asked for."""
    found = await _one(call)
    file = next((each for each in found.files if each.name == call.path["name"]), None)
    path = call.service.data.exports / found.id / file.name if file is not None else None
    if file is None or path is None or not path.is_file():
        raise NotFound(f"no file '{call.path['name'][:60]}' in {found.id}", "See its manifest")
    kinds = {"parquet": "application/vnd.apache.parquet", "csv": "text/csv; charset=utf-8; header=present",
             "ndjson": "application/x-ndjson", "arrow": "application/vnd.apache.arrow.file"}  # fmt: skip
    return Answer(
        content=b"", file=path, tag=file.sha256, immutable=True, media_type=kinds[found.form],
        headers={"Content-Disposition": f'attachment; filename="{file.name}"'},
    )  # fmt: skip


async def spawn(service: Service) -> None:
    """Start the process that works off the queue; it ends by itself, at once when another one is at it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "nettrace.hub.export",
        "--data",
        str(service.data.folder),
        stdin=asyncio.subprocess.DEVNULL,
    )
    try:
        await process.wait()
    except asyncio.CancelledError:
        if process.returncode is None:
            process.terminate()
            await process.wait()
        raise


def start(service: Service) -> None:
    """Have the queue worked off now."""
    service.keep(spawn(service))


async def sweep(service: Service) -> None:
    """Look every ten seconds for jobs whose worker died, and for files that are kept no longer."""
    while True:
        await asyncio.sleep(SWEEP_S)
        with suppress(NetTraceError):  # the store is away; the next look may succeed
            held = await service.readers.run(lambda reader: reader.exports())
            if job.waiting(held, service.now()):
                await spawn(service)


OPERATIONS = (
    Operation(
        id="exportTarget", method="GET", path="/api/v1/export/{host}", tag="Exports", handler=export_host,
        query=ExportQuery, answer=schema.ExportPage, table=True, feature=Feature.EXPORT,
        summary="Raw rounds of one target, up to 50,000 a page", description="The last 30 days unless said otherwise.",
        example="/api/v1/export/api.example.com?region=nyc&method=tcp&limit=2",
    ),
    Operation(
        id="createExport", method="POST", path="/api/v1/exports", tag="Exports", handler=create_export, query=JobQuery,
        body=schema.ExportAsk, answer=schema.ExportShape, status=202, feature=Feature.EXPORT,
        summary="Export anything as files, one a UTC day",
        description="202 with `Location`; `dry_run=1` answers 200 with rows and bytes by estimate.",
        example="/api/v1/exports",
        example_body={
            "start": "2026-11-20T10:00:00Z", "end": "2026-11-20T12:00:00Z", "hosts": ["api.example.com"], "format": "csv",
        },
    ),
    Operation(
        id="listExports", method="GET", path="/api/v1/exports", tag="Exports", handler=exports, query=Paged,
        answer=schema.Page[schema.ExportShape], feature=Feature.EXPORT, summary="Your exports, newest first",
        example="/api/v1/exports", table=True,
    ),
    Operation(
        id="getExport", method="GET", path="/api/v1/exports/{id}", tag="Exports", handler=export, query=NoQuery,
        answer=schema.ExportShape, feature=Feature.EXPORT, summary="An export: its state, then its manifest",
        example="/api/v1/exports/{export}",
    ),
    Operation(
        id="downloadExportFile", method="GET", path="/api/v1/exports/{id}/files/{name}", tag="Exports",
        handler=export_file, query=NoQuery, feature=Feature.EXPORT, cost=0, media_type="application/octet-stream",
        summary="A file of an export; as often as you like, in ranges too",
        example="/api/v1/exports/{export}/files/{file}",
    ),
)  # fmt: skip
