"""/metrics is OpenMetrics that a strict reader takes, and says nothing that was not measured."""

import re

from tests.api.conftest import NOW, Hub, ping

LINE = re.compile(r"^([a-z_0-9]+)(?:\{((?:[a-z_]+=\"(?:[^\"\\\n]|\\.)*\",?)*)\})? (\S+)$")
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\.)*)"')


def read(text: str) -> tuple[dict[str, str], dict[str, list[tuple[dict[str, str], float]]]]:
    """Types by family and samples by name; anything not well-formed stops."""
    lines = text.split("\n")
    assert lines[-2:] == ["# EOF", ""]
    types: dict[str, str] = {}
    samples: dict[str, list[tuple[dict[str, str], float]]] = {}
    seen: set[str] = set()
    family = ""
    for line in lines[:-2]:
        if line.startswith("# TYPE "):
            _, _, family, kind = line.split(" ")
            assert family not in types
            types[family] = kind
        elif line.startswith("# HELP "):
            assert line.split(" ")[2] == family
        else:
            match = LINE.match(line)
            assert match, line
            assert match[1].startswith(family)
            assert line.rpartition(" ")[0] not in seen
            seen.add(line.rpartition(" ")[0])
            samples.setdefault(match[1], []).append((dict(LABEL.findall(match[2] or "")), float(match[3])))
    return types, samples


async def test_names_of_the_earlier_system_are_kept_and_units_are_said(hub: Hub) -> None:
    answer = await hub.get("/metrics")
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    types, samples = read(answer.text)
    rtts = {(labels["host"], labels["region"]): value for labels, value in samples["nettrace_target_rtt_ms"]}
    assert rtts["api.example.com", "nyc"] == 9.02
    assert ("api.example.com", "fra") not in rtts  # silent for ten minutes
    assert ("b.example.com", "sin") not in rtts  # failed: no value, and down
    up = {(labels["host"], labels["region"]): value for labels, value in samples["nettrace_target_up"]}
    assert (up["b.example.com", "sin"], up["api.example.com", "nyc"]) == (0, 1)
    assert samples["nettrace_target_hops"][0][1] == 3
    assert samples["nettrace_route_changes_1h"] == [({}, 1.0)]
    assert samples["nettrace_quant_signals_1h"][0][1] > 0
    assert {labels["region"]: value for labels, value in samples["nettrace_vantage_up"]} == {
        "fra": 0,
        "nyc": 1,
        "sin": 1,
    }
    ages = {
        (labels["host"], labels["region"]): value for labels, value in samples["nettrace_round_age_seconds"]
    }
    assert ages["api.example.com", "fra"] > 600
    assert types["nettrace_rtt_seconds"] == "histogram"


async def test_the_histogram_counts_each_answered_probe_once(hub: Hub) -> None:
    for second in (1, 2):
        due = NOW + second * 10**9
        hub.clock = due + 10**9
        hub.report("nyc", [(due, "api.example.com", ping("api.example.com", 9.0 * second, due))])
        await hub.service.refresh()
        await hub.service.refresh()
    _, samples = read((await hub.get("/metrics")).text)
    mine = {"host": "api.example.com", "region": "nyc"}
    buckets = [
        (float(labels["le"]), value) for labels, value in samples["nettrace_rtt_seconds_bucket"]
        if labels.items() >= mine.items()
    ]  # fmt: skip
    assert len(buckets) == 21
    assert [bound for bound, _ in buckets[:3]] == [0.00005, 0.0001, 0.0002]
    assert [value for _, value in buckets] == sorted(value for _, value in buckets)
    assert buckets[-1] == (float("inf"), 10.0)
    (total,) = [
        value for labels, value in samples["nettrace_rtt_seconds_sum"] if labels.items() >= mine.items()
    ]
    assert round(total, 6) == round(5 * (0.00902 + 0.01802), 6)
