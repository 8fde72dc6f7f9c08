"""`--fail-if 'p95>50ms or loss>1%'`: a small language over the numbers of a result.

condition := clause ("or" clause)*      clause := test ("and" test)*      test := METRIC (> >= < <= == !=) NUMBER[ms|s|us|%]
"""

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from nettrace.errors import Invalid

METRICS = {
    "min": "min_ms",
    "p50": "p50_ms",
    "median": "p50_ms",
    "p95": "p95_ms",
    "max": "max_ms",
    "rtt": "rtt_ms",
    "dns": "dns_ms",
    "connect": "connect_ms",
    "tls": "tls_ms",
    "ttfb": "ttfb_ms",
    "total": "total_ms",
    "status": "status",
    "loss": "loss",
    "hops": "hops",
}
"""What may be tested: the word of the condition -> the field of the document (`loss` and `hops` are counted)."""

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
_TEST = re.compile(
    r"\s*([a-z][a-z0-9]*)\s*(>=|<=|==|!=|>|<)\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|us|s|%)?\s*", re.ASCII
)
_TO_MS = {"ms": 1.0, "s": 1000.0, "us": 0.001}


class Test(msgspec.Struct, frozen=True):
    """One comparison; `threshold` is in the metric's own unit (ms, percent, a count)."""

    metric: str
    comparison: str
    threshold: float
    text: str


class Condition(msgspec.Struct, frozen=True):
    """A parsed condition: any of the clauses, each of which is all of its tests."""

    clauses: tuple[tuple[Test, ...], ...]
    text: str

    def broken_by(self, document: Mapping[str, Any]) -> bool:
        """True when the document meets the condition, that is, when the command shall fail.

        A metric that was not measured meets no comparison: "no data" is never "slow"; the outcome says it.
        """
        return any(all(_holds(test, document) for test in clause) for clause in self.clauses)


def parse_condition(text: str) -> Condition:
    """The condition of a text, or `Invalid` that names the part nobody understands.

    >>> parse_condition("p95>50ms or loss>1%").broken_by({"p95_ms": 60.0, "sent": 10, "received": 10})
    True
    """
    clauses = tuple(
        tuple(_test(part) for part in re.split(r"\band\b", clause)) for clause in re.split(r"\bor\b", text)
    )
    return Condition(clauses, text)


def _test(part: str) -> Test:
    match = _TEST.fullmatch(part)
    if match is None or match[1] not in METRICS:
        raise Invalid(
            f"--fail-if does not understand '{part.strip()}'",
            f"Write METRIC>NUMBER[ms|s|us|%] joined by 'and'/'or'; metrics: {', '.join(METRICS)}",
        )
    metric, comparison, number, unit = match.groups()
    timed = METRICS[metric].endswith("_ms")
    if (unit == "%") != (metric == "loss") and unit is not None:
        raise Invalid(
            f"--fail-if: '{unit}' is not a unit of {metric}", "Use ms, s or us for times and % for loss"
        )
    return Test(metric, comparison, float(number) * (_TO_MS[unit or "ms"] if timed else 1.0), part.strip())


def _holds(test: Test, document: Mapping[str, Any]) -> bool:
    value = _value(test.metric, document)
    return value is not None and _COMPARE[test.comparison](value, test.threshold)


def _value(metric: str, document: Mapping[str, Any]) -> float | None:
    if metric == "loss":
        sent = document.get("sent")
        return 100.0 * (1 - document["received"] / sent) if sent else None
    if metric == "hops":
        return float(len(document["hops"])) if document.get("reached") else None
    value: object = document.get(METRICS[metric])
    return float(value) if isinstance(value, int | float) else None
