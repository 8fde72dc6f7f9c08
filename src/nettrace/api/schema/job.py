"""What is asked for and done later: measurements, exports."""

import msgspec

from nettrace.api.schema.latency import RawRow, RoundRow
from nettrace.api.schema.page import Page, WindowShape


class MeasurementAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What to measure now.

    Attributes:
        target: a host of the catalogue, or a custom target of yours.
        regions: vantages to ask; all that are up when left out.
        endpoint: the target's first one when left out.
        method: the endpoint's first one when left out.
    """

    target: str
    regions: list[str] | None = None
    endpoint: str | None = None
    method: str | None = None
    probes: int = 5


class CostPreview(msgspec.Struct, kw_only=True):
    """What a request would cost; nothing was done. `bytes` is an estimate and null where there is none."""

    object: str = "cost_preview"
    calls: int
    probes: int
    packets: int | None
    bytes: int | None
    rows: int | None
    usd: float
    eta_s: float


class MeasurementShape(msgspec.Struct, kw_only=True):
    """A measurement somebody asked for, with what it has brought so far."""

    object: str = "measurement"
    id: str
    state: str
    target: str
    endpoint: str
    method: str
    probes: int
    regions: list[str]
    answered: list[str]
    created_at: str
    deadline: str
    results: list[RoundRow]


class MeasurementRow(msgspec.Struct, kw_only=True):
    """A measurement in a list."""

    object: str = "measurement"
    id: str
    state: str
    target: str
    endpoint: str
    method: str
    probes: int
    regions: list[str]
    answered: list[str]
    created_at: str
    deadline: str


class ExportAsk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A bulk export: every raw round (or bucket) of these targets in a window, a file a UTC day.

    Attributes:
        hosts: all targets when left out. `regions` and `methods` likewise.
        format: `parquet`, `csv`, `ndjson` or `arrow`. Times and RTTs are ns integers.
    """

    start: str
    end: str
    hosts: list[str] = []
    regions: list[str] = []
    methods: list[str] = []
    format: str = "parquet"
    resolution: str = "raw"


class ExportFileShape(msgspec.Struct, kw_only=True):
    """One file of an export; `url` may be read again as often as you like, in ranges too."""

    name: str
    url: str
    bytes: int
    rows: int
    sha256: str
    start: str
    end: str


class ExportShape(msgspec.Struct, kw_only=True):
    """A bulk export: `queued`, `running`, then `done` with files, or `failed` with a problem."""

    object: str = "export"
    id: str
    state: str
    format: str
    resolution: str
    hosts: list[str]
    regions: list[str]
    methods: list[str]
    window: WindowShape
    created_at: str
    finished_at: str | None
    expires_at: str | None
    rows: int
    bytes: int
    files: list[ExportFileShape]
    problem: str | None


class ExportPage(Page[RawRow], kw_only=True):
    """Raw rounds of one target by time."""

    object: str = "export_page"
    host: str
    window: WindowShape
    export_rows: int
    history_days: int | None
