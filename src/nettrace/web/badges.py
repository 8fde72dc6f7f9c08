"""Badges over HTTP: always an image, never an error one, answered from memory."""

import json
from collections.abc import Sequence
from typing import Any

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler

from nettrace.hub.latest import Snapshot
from nettrace.hub.query import shown, speaking
from nettrace.model.instant import Instant
from nettrace.store.rows import Latest
from nettrace.web.badge import Badge, Tone, age, rtt_badge, shields, svg
from nettrace.web.hub import Hub
from nettrace.web.status import PUBLIC

METRICS = ("rtt", "loss", "age", "hops")
_SECONDS = 30


def badge_doors(hub: Hub) -> list[HTTPRouteHandler]:
    """`/widget/{host}`, `/badge/{host}/{metric}.svg` and the shields.io endpoint beside it."""

    @get("/widget/{host:str}", include_in_schema=False)
    async def widget(request: Request[Any, Any, Any], host: str) -> Response[bytes]:
        return _image(badge_for(hub.snapshot, host, "rtt", hub.now(), _vantages(request)))

    @get("/badge/{host:str}/{file:str}", include_in_schema=False)
    async def badge(request: Request[Any, Any, Any], host: str, file: str) -> Response[bytes]:
        metric, _, form = file.rpartition(".")
        made = badge_for(hub.snapshot, host, metric, hub.now(), _vantages(request))
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
    return _other(label, metric, best, now)


def _rtt(label: str, best: Latest | None, now: Instant) -> Badge:
    if best is None:
        return rtt_badge(label, None, None, now, 60)
    return rtt_badge(label, best.round.rtt_ns, best.round.due, now, best.interval_s)


def _other(label: str, metric: str, best: Latest, now: Instant) -> Badge:
    newest = best.round
    if metric == "age":
        words = age(max(0, now - newest.due) / 1e9)
        tone = Tone.GOOD if now - newest.due <= 3e9 * best.interval_s else Tone.UNKNOWN
    elif metric == "loss" and newest.sent:
        share = (newest.sent - newest.received) / newest.sent
        words, tone = (
            f"{100 * share:.0f} %",
            Tone.GOOD if share == 0 else Tone.SLOW if share < 0.2 else Tone.BAD,
        )
    elif metric == "hops" and newest.hop_count is not None:
        words, tone = str(newest.hop_count), Tone.FAIR
    else:
        words, tone = "unknown", Tone.UNKNOWN
    return Badge(label=f"{label} {metric}", message=words, tone=tone, title=f"{label}: {metric} {words}")


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
