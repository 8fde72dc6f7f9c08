"""Badges over HTTP: always an image, never an error one, answered from memory."""

import json
from collections.abc import Sequence
from typing import Any

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler

from nettrace.hub.latest import Snapshot
from nettrace.hub.query import shown, speaking
from nettrace.model.instant import Instant
from nettrace.model.measurement import Outcome
from nettrace.model.target import RoundMethod, Target
from nettrace.store.rows import Latest
from nettrace.web.badge import METRICS, STAGES, Badge, Tone, age, milliseconds, rtt_badge, shields, svg
from nettrace.web.hub import Hub
from nettrace.web.status import PUBLIC

_SECONDS = 30


def badge_doors(hub: Hub) -> list[HTTPRouteHandler]:
    """`/widget/{host}`, `/badge/{host}/{metric}.svg` and the shields.io endpoint beside it."""

    @get("/widget/{host:str}", include_in_schema=False)
    async def widget(request: Request[Any, Any, Any]) -> Response[bytes]:
        host = str(request.path_params["host"])
        return _image(badge_for(hub.snapshot, host, "rtt", hub.now(), _vantages(request)))

    @get("/badge/{host:str}/{file:str}", include_in_schema=False)
    async def badge(request: Request[Any, Any, Any]) -> Response[bytes]:
        metric, _, form = str(request.path_params["file"]).rpartition(".")
        made = badge_for(
            hub.snapshot, str(request.path_params["host"]), metric, hub.now(), _vantages(request)
        )
        return _endpoint(made) if form == "json" else _image(made)

    return [widget, badge]


def badge_for(
    snapshot: Snapshot, host: str, metric: str, now: Instant, vantages: Sequence[str] = ()
) -> Badge:
    """The badge of a public target; of what nobody knows it says so."""
    target = snapshot.targets.get(host)
    if target is None or target.account not in {None, PUBLIC}:
        return Badge(
            label=host, message="unknown target", tone=Tone.UNKNOWN, title=f"{host}: not watched here"
        )
    best = shown(speaking(snapshot, target, vantages), now)
    label = target.name if not vantages else f"{target.name} from {vantages[0]}"
    if metric == "rtt":
        return _rtt(label, best, now)
    if best is None or metric not in METRICS:
        why = (
            "nothing measured yet"
            if best is None
            else f"no metric '{metric}'; there are {', '.join(METRICS)}"
        )
        return Badge(label=label, message="unknown", tone=Tone.UNKNOWN, title=f"{label}: {why}")
    if metric in {"hops", *STAGES}:
        wanted = RoundMethod.TRACE if metric == "hops" else RoundMethod.HTTP
        best = _newest(snapshot, target, wanted, vantages or (best.round.series.vantage,))
    return _other(label, metric, best, now)


def _newest(
    snapshot: Snapshot, target: Target, method: RoundMethod, vantages: Sequence[str]
) -> Latest | None:
    """The newest round of a target by a method from one of the vantages."""
    rows = snapshot.newest.get(target.host, {})
    found = [row for series, row in rows.items() if series.method is method and series.vantage in vantages]
    return max(found, key=lambda row: row.round.due, default=None)


def _rtt(label: str, best: Latest | None, now: Instant) -> Badge:
    if best is None:
        return rtt_badge(label, None, None, now, 60)
    return rtt_badge(label, best.round.rtt_ns, best.round.due, now, best.interval_s)


def _other(label: str, metric: str, best: Latest | None, now: Instant) -> Badge:
    name = f"{label} {STAGES.get(metric, metric)}"
    words, tone = ("unknown", Tone.UNKNOWN) if best is None else _said(metric, best, now)
    if (
        best is not None
        and metric != "age"
        and words != "unknown"
        and now - best.round.due > 3e9 * best.interval_s
    ):
        words, tone = f"{words}, {age(max(0, now - best.round.due) / 1e9)} ago", Tone.UNKNOWN
    return Badge(label=name, message=words, tone=tone, title=f"{name}: {words}")


def _said(metric: str, best: Latest, now: Instant) -> tuple[str, Tone]:
    """What the newest round says of a metric."""
    newest = best.round
    stage = newest.stages_ns.get(metric)
    if stage is not None:
        return milliseconds(stage), Tone.FAIR
    if metric == "age":
        fresh = now - newest.due <= 3e9 * best.interval_s
        return age(max(0, now - newest.due) / 1e9), Tone.GOOD if fresh else Tone.UNKNOWN
    if metric == "loss" and newest.sent:
        share = (newest.sent - newest.received) / newest.sent
        return f"{100 * share:.0f} %", Tone.GOOD if share == 0 else Tone.SLOW if share < 0.2 else Tone.BAD
    if metric == "hops" and newest.hop_count is not None:
        return str(newest.hop_count), Tone.FAIR
    if metric == "state":
        return {
            Outcome.MEASURED: ("answers", Tone.GOOD), Outcome.FAILED: ("no answer", Tone.BAD),
        }.get(newest.outcome, ("not measured", Tone.UNKNOWN))  # fmt: skip
    return "unknown", Tone.UNKNOWN


def _vantages(request: Request[Any, Any, Any]) -> tuple[str, ...]:
    named = request.query_params.get("vantage") or request.query_params.get("region")
    return (str(named),) if named else ()


def _image(badge: Badge) -> Response[bytes]:
    told = {
        "Cache-Control": f"public, max-age={_SECONDS}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'",
    }
    return Response(svg(badge).encode(), media_type="image/svg+xml", headers=told)


def _endpoint(badge: Badge) -> Response[bytes]:
    told = {"Cache-Control": "public, max-age=300", "Access-Control-Allow-Origin": "*"}
    return Response(json.dumps(shields(badge)).encode(), media_type="application/json", headers=told)
