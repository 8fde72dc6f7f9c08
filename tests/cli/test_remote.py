"""`nettrace remote` as a newcomer calls it, against a Globalping of our own on loopback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.outside_remote.doubles import FakeGlobalping, pinged, served

from nettrace.outside.places import find
from nettrace.placement.estimates.evidence import read_table


def nettrace(url: str, folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    around = {
        **os.environ, "NETTRACE_GLOBALPING_URL": url, "NETTRACE_LEDGER": str(folder / "ledger.sqlite"), **environ,
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "nettrace", "remote", *arguments],
        env=around, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip


def test_how_fast_is_an_exchange_from_tokyo_without_a_server(tmp_path: Path) -> None:
    fake = FakeGlobalping(
        [pinged(2.5, 2.25, total=3), pinged(151.0, city="Frankfurt", country="DE", asn=1, tags=[])]
    )
    fake.polls_until_finished = 1
    rtt, rows = tmp_path / "rtt.csv", tmp_path / "rows.csv"
    wanted = (
        "ping", "api.binance.com", "--from", "Tokyo, Frankfurt", "-n", "3", "--rtt-file", str(rtt),
        "--evidence-file", str(rows),
    )  # fmt: skip
    with served(fake) as double:
        shown = nettrace(double.url, tmp_path, *wanted)
        assert shown.returncode == 2, "nobody is there to be asked, and --yes was not said"
        assert "up to 2 tests of globalping; 250 of 250 are left this hour" in shown.stderr
        assert not [asked for asked in double.asked if asked.method == "POST"]
        assert shown.stdout == ""
        done = nettrace(double.url, tmp_path, *wanted, "--yes")
        assert done.returncode == 0, done.stderr
        assert (
            "globalping: 248 of 250 tests are left this hour"
            in nettrace(double.url, tmp_path, "limits").stdout
        )
    first, second = map(json.loads, done.stdout.splitlines())
    assert first["schema"] == "nettrace.ping/1"
    assert first["vantage"] == "globalping:tokyo-jp-as16509" and first["third_party"] is True
    assert (first["city"], first["country"], first["asn"], first["network"]) == (
        "Tokyo",
        "JP",
        16509,
        "Amazon.com",
    )
    assert (first["clock"], first["rtt_ms"]) == ("user", [2.5, 2.25, None])
    assert second["p50_ms"] == 151.0
    assert rtt.read_text().splitlines()[0] == '"35.6900,139.6900",2.25'
    lent = read_table(rows.read_text(), "rows")
    assert [(row.a, row.b, row.p50_ms, row.n, row.own) for row in lent] == [
        ("aws:ap-northeast-1", "binance-spot", 2.375, 2, False),
        ("35.6900,139.6900", "binance-spot", 151.0, 1, False),
    ]
    estimated = subprocess.run(
        [sys.executable, "-m", "nettrace", "estimate", "aws:ap-northeast-1", "binance-spot", "--evidence", str(rows), "-o", "json"],
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    [estimate] = json.loads(estimated.stdout)
    assert (estimate["p50_ms"], estimate["evidence"]) == (2.375, "estimated"), (
        "a hint with an interval, never measured"
    )
    assert "globalping:tokyo-jp-as16509" in estimate["basis"][0]


def test_its_files_are_evidence_for_where(tmp_path: Path) -> None:
    fake = FakeGlobalping([pinged(2.5)])
    fake.polls_until_finished = 1
    with served(fake) as double:
        for city, place in (("Tokyo", "35.69 139.69"), ("Osaka", "34.69 135.50")):
            latitude, longitude = map(float, place.split())
            fake.results = [
                pinged(2.5 if city == "Tokyo" else 9.5, city=city, latitude=latitude, longitude=longitude)
            ]
            done = nettrace(
                double.url,
                tmp_path,
                "ping",
                "api.example",
                "--from",
                city,
                "-y",
                "--rtt-file",
                str(tmp_path / "r"),
            )
            assert done.returncode == 0, done.stderr
    where = subprocess.run(
        [sys.executable, "-m", "nettrace", "where", "api.example", "--rtt", str(tmp_path / "r"), "-o", "json"],
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    [found] = json.loads(where.stdout)
    assert found["vantages"] == 2 and found["edge"]["nearest"]["rtt_ms"] == 2.5


@pytest.mark.parametrize(
    ("limit", "arguments", "code", "words"),
    [
        ("1", ("ping", "api.example", "--from", "Tokyo,Osaka", "-y"), 7, "takes 2 tests, and 1 of 1"),
        ("9", ("ping", "10.0.0.1", "--from", "Tokyo", "-y"), 2, "no public address"),
        ("9", ("ping", "api.example", "--from", " , ", "-y"), 2, "names no place"),
        ("9", ("ping", "api.example", "--from", "Tokyo", "-y", "--via", "atlas"), 4, "NETTRACE_ATLAS_KEY"),
    ],
)
def test_refusals_end_with_the_contracts_codes(
    tmp_path: Path, limit: str, arguments: tuple[str, ...], code: int, words: str
) -> None:
    with served(FakeGlobalping([pinged(1.0)])) as double:
        done = nettrace(double.url, tmp_path, *arguments, NETTRACE_GLOBALPING_TESTS_HOUR=limit)
        assert not [asked for asked in double.asked if asked.method == "POST"]
    assert done.returncode == code, done.stderr
    assert words in done.stderr


def test_a_table_says_whose_vantages_they_are(tmp_path: Path) -> None:
    fake = FakeGlobalping([pinged(2.5), pinged(total=3)])
    fake.polls_until_finished = 1
    with served(fake) as double:
        done = nettrace(
            double.url,
            tmp_path,
            "ping",
            "api.example",
            "--from",
            "Tokyo",
            "--probes",
            "2",
            "-y",
            "-o",
            "table",
        )
    assert done.returncode == 6
    assert done.stdout.splitlines()[0].startswith("VANTAGE (not ours)")
    assert (
        "Tokyo, JP" in done.stdout
        and "AS16509 Amazon.com" in done.stdout
        and "failed: timeout" in done.stdout
    )


def test_rows_of_evidence_are_hints_and_light_throws_out_edges() -> None:
    from nettrace.analysis.geo.floor import floor_between
    from nettrace.model.measurement import Grade, Method, Outcome, Ping, Sample, SampleState
    from nettrace.model.remote import RemoteResult, ThirdPartyProbe
    from nettrace.placement.estimates.lent import lent_rows, looks_of
    from nettrace.placement.registry.load import built_in
    from nettrace.placement.registry.places import engine_of

    registry = built_in()
    venue = next(each for each in registry.venues.values() if each.endpoints and engine_of(each, find))
    engine = engine_of(venue, find)
    assert engine is not None
    host = venue.endpoints[0].host
    probe = ThirdPartyProbe(
        code="globalping:x", service="globalping", latitude=-engine.latitude, longitude=0.0
    )

    def pinging(rtt_ms: int) -> RemoteResult:
        sample = Sample(state=SampleState.ANSWERED, rtt_ns=rtt_ms * 1_000_000, grade=Grade.USER)
        ping = Ping(
            target=host, address=None, at=0, outcome=Outcome.MEASURED, method=Method.ICMP, samples=(sample,),
            vantage=probe.code,
        )  # fmt: skip
        return RemoteResult(probe=probe, measurement=ping)

    looks = looks_of([pinging(400), pinging(1)])
    lent = lent_rows(looks, registry, find, lambda a, b: floor_between(a, b).vacuum_ns)
    assert [(row.b, row.p50_ms, row.own, row.source) for row in lent.rows][:1] == [
        (venue.name, 400.0, False, "globalping:x")
    ]
    assert any("faster than light" in why for why in lent.refused)
