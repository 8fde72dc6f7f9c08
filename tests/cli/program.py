"""The installed program as the world outside runs it, and what its documents promise."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

PROGRAM = (sys.executable, "-m", "nettrace")
PATIENCE_S = 180
"""No test waits for this long: it only turns a hang into a failure."""

NUMBER = (int, float)
NONE = type(None)
OUTCOMES = {"measured", "failed", "not_measured"}
REASONS = {
    None, "timeout", "unreachable", "refused", "dns", "tls", "http", "blocked", "not_permitted", "not_scheduled",
    "vantage_down", "aborted",
}  # fmt: skip
COMMON = {"schema": str, "outcome": str, "reason": (str, NONE), "at": str}
STAGES = dict.fromkeys(("dns_ms", "connect_ms", "tls_ms", "ttfb_ms", "total_ms"), (*NUMBER, NONE))
SHAPES: dict[str, dict[str, Any]] = {
    "nettrace.ping/1": {
        **COMMON, "target": str, "address": (str, NONE), "method": str, "sent": int, "received": int,
        "rtt_ms": list, "min_ms": (*NUMBER, NONE), "p50_ms": (*NUMBER, NONE), "p95_ms": (*NUMBER, NONE),
        "clock": (str, NONE),
    },
    "nettrace.trace/1": {
        **COMMON, "vantage": (str, NONE), "target": str, "address": (str, NONE), "method": str, "flow": int,
        "reached": bool, "rtt_ms": (*NUMBER, NONE), "hops": list,
    },
    "nettrace.http/1": {
        **COMMON, **STAGES, "url": str, "address": (str, NONE), "status": (int, NONE), "tls_version": (str, NONE),
        "reused": bool,
    },
    "nettrace.ws/1": {**COMMON, **STAGES, "url": str, "address": (str, NONE), "rtt_ms": list},
    "nettrace.dns/1": {**COMMON, "name": str, "server": (str, NONE), "rtt_ms": (*NUMBER, NONE)},
}  # fmt: skip
HOP = {"ttl": int, "address": (str, NONE), "rtt_ms": list, "asn": (int, NONE), "place": (dict, NONE), "mpls": (list, NONE)}  # fmt: skip


class Done:
    """A run that ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    def __repr__(self) -> str:
        """What a failed assertion shows of it: how it ended, and why."""
        return f"Done({self.code}, {self.out[-500:]!r}, {self.err[-2000:]!r})"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Every line of stdout as JSON: nothing else may stand there."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def row(self) -> dict[str, Any]:
        (row,) = self.rows
        return row

    @property
    def by_target(self) -> dict[str, dict[str, Any]]:
        rows = self.rows
        named = {row["target"]: row for row in rows}
        assert len(named) == len(rows)
        return named


def run(words: Sequence[str], **options: Any) -> Done:
    """A command to its end."""
    done = subprocess.run(words, capture_output=True, check=False, timeout=PATIENCE_S, **options)
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode(errors="replace"))


def nettrace(*words: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Done:
    """`nettrace WORDS...` in a pipe."""
    return run([*PROGRAM, *words], input=stdin, env={**os.environ, **(env or {})})


def check_shape(row: Mapping[str, Any]) -> None:
    """The fields that the contract names, with their types, and the rules that hold between them."""
    shape = SHAPES[row["schema"]]
    wrong = {
        name: row.get(name, "missing") for name, kind in shape.items() if not _is(row.get(name, ...), kind)
    }
    assert not wrong, f"{row['schema']}: {wrong}"
    assert row["outcome"] in OUTCOMES
    assert row["reason"] in REASONS
    assert (row["reason"] is None) == (row["outcome"] == "measured"), row
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", row["at"])
    if "clock" in shape:
        assert row["clock"] in {None, "kernel", "mixed", "user"}
    {"nettrace.ping/1": _check_ping, "nettrace.trace/1": _check_trace}.get(row["schema"], lambda _: None)(row)


def _is(value: object, kind: Any) -> bool:
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, kind)


def _check_ping(row: Mapping[str, Any]) -> None:
    times = [rtt for rtt in row["rtt_ms"] if rtt is not None]
    assert all(isinstance(rtt, float) and rtt > 0 for rtt in times)
    assert row["received"] == len(times) <= row["sent"] <= len(row["rtt_ms"])
    if times:
        assert min(times) == row["min_ms"] <= row["p50_ms"] <= row["p95_ms"] <= max(times)
    else:
        assert row["min_ms"] is row["p50_ms"] is row["p95_ms"] is None


def _check_trace(row: Mapping[str, Any]) -> None:
    hops = row["hops"]
    assert [hop["ttl"] for hop in hops] == list(range(1, len(hops) + 1))
    for hop in hops:
        assert all(_is(hop.get(name, ...), kind) for name, kind in HOP.items()), hop
        assert all(rtt is None or (isinstance(rtt, float) and rtt > 0) for rtt in hop["rtt_ms"])
        if hop["address"] is None:
            assert set(hop["rtt_ms"]) <= {None}
    if row["reached"]:
        assert hops[-1]["address"] == (row.get("answered_from") or row["address"])
        assert row["rtt_ms"] > 0
    else:
        assert row["rtt_ms"] is None
