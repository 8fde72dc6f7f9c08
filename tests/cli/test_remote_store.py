"""`nettrace remote --store`: strangers' looks kept in a running hub, named as theirs and mixed with nothing of ours."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from click.testing import CliRunner
from tests.cli.program import nettrace
from tests.cli.test_up import until, up
from tests.unit.outside_remote.doubles import Double, FakeAtlas, FakeGlobalping, pinged, served

from nettrace.cli.root import group
from nettrace.errors import QuotaExceeded
from nettrace.outside import ripeatlas

HOST, CODE = "api.binance.com", "globalping:tokyo-jp-as16509"
OTHER = "api.bybit.com"
PROBE = "35.6900,139.6900"
WANTED = ("ping", HOST, "--from", "Tokyo", "-n", "2", "--yes", "--store")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """Of one worker: what one answer has shown, the next one shows too. Two look at the store each in its own time."""
    folder = tmp_path_factory.mktemp("hub")
    with up(folder, "--no-node", "--workers", "1") as (_, url):
        yield folder, url


@pytest.fixture
def double() -> Iterator[Double]:
    fake = FakeGlobalping([pinged(2.5, 2.25)])
    fake.polls_until_finished = 1
    with served(fake) as made:
        yield made


def begun(double: Double, data: Path, ledger: Path, *words: str, **environ: str) -> subprocess.Popen[str]:
    around = {
        **os.environ, "NETTRACE_GLOBALPING_URL": double.url, "NETTRACE_LEDGER": str(ledger / "l.sqlite"), **environ,
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "nettrace", "remote", *words, "--data", str(data)],
        env=around, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=180)
    return process.returncode, out, err


def posts(double: Double) -> int:
    return sum(asked.method == "POST" for asked in double.asked)


def lent(url: str, service: str, host: str = HOST) -> list[Any]:
    return [each for each in asked(url, f"latency/{host}")["lent"] if each["third_party"] == service]


def shown(url: str, path: str) -> str:
    with urllib.request.urlopen(f"{url}/{path}", timeout=60) as page:
        return str(page.read().decode())


def asked(url: str, path: str) -> Any:
    with urllib.request.urlopen(f"{url}/api/v1/{path}", timeout=60) as answer:
        return json.load(answer)


def test_a_strangers_look_is_kept_by_its_name_and_in_no_ranking(
    hub: tuple[Path, str], double: Double, tmp_path: Path
) -> None:
    data, url = hub
    code, out, err = ended(begun(double, data, tmp_path, *WANTED))
    assert code == 0, err
    assert f"stored under {HOST}/rest from {CODE}" in err
    assert json.loads(out)["third_party"] is True

    def listed() -> Any:
        return next((row for row in asked(url, "vantages")["data"] if row["code"] == CODE), None)

    row = until(lambda: (found := listed()) and found["newest_round_at"] and found, "the vantage")
    assert (row["third_party"], row["city"], row["up"], row["targets"]) == ("globalping", "Tokyo", False, 1)
    assert not [each for each in asked(url, f"latency/{HOST}")["data"] if each["region"] == CODE]
    [mine] = asked(url, f"latency/{HOST}?region={quote(CODE)}")["data"]
    assert (mine["region"], mine["rtt_ms"]) == (CODE, 2.25)
    assert asked(url, "rankings")["data"] == [], "nobody of ours has measured"
    assert CODE not in json.dumps(asked(url, "fleet"))
    page = shown(url, "fleet")
    assert "third party: globalping" in page and CODE in page


def test_where_may_take_it_as_evidence_and_says_by_whom(
    hub: tuple[Path, str], double: Double, tmp_path: Path
) -> None:
    data, _ = hub
    assert ended(begun(double, data, tmp_path, *WANTED))[0] == 0
    done = nettrace("where", HOST, "--data", str(data))
    assert done.row["edge"]["nearest"]["place"]["name"] == CODE
    listed = nettrace("fleet", "list", "--data", str(data))
    assert CODE in listed.out and "THIRD PARTY: globalping's probe, not a node of yours" in listed.out


def test_the_targets_page_and_api_show_whose_look_it_is_beside_nothing_of_ours(
    hub: tuple[Path, str], double: Double, tmp_path: Path
) -> None:
    data, url = hub
    assert ended(begun(double, data, tmp_path, *WANTED))[0] == 0
    found = until(lambda: lent(url, "globalping"), "the look")
    assert [(each["region"], each["third_party"], each["rtt_ms"]) for each in found] == [
        (CODE, "globalping", 2.25)
    ]
    [named] = asked(url, f"latency/{HOST}?region={quote(CODE)}")["data"]
    assert named["third_party"] == "globalping"
    page = shown(url, f"t/{HOST}")
    ours, theirs = page.split('id="third-party"')
    assert CODE not in ours, "not in the table of our own vantages"
    assert "1 vantage of other people, not nodes of this hub" in theirs
    for words in (CODE, "third party: globalping", "Tokyo JP", "2.25", "ago"):
        assert words in theirs
    assert "third party: globalping" in shown(url, f"t/{HOST}/from/{quote(CODE)}")


def test_an_estimate_rests_on_what_the_hub_keeps_and_names_the_probe(
    hub: tuple[Path, str], double: Double, tmp_path: Path
) -> None:
    data, _ = hub
    assert ended(begun(double, data, tmp_path, *WANTED))[0] == 0
    known = nettrace("estimate", PROBE, "binance-spot", "--data", str(data)).row
    assert (known["by"], known["evidence"], known["p50_ms"]) == ("published", "estimated", 2.375)
    assert CODE in " ".join(known["basis"])
    without = nettrace("estimate", PROBE, "binance-spot", "--data", str(data), "--hours", "0.000001").row
    assert CODE not in " ".join(without["basis"])
    lost = nettrace("estimate", PROBE, "binance-spot", "--data", str(tmp_path))
    assert (lost.code, "there is no hub in this folder" in lost.err) == (1, True)


def test_probes_of_ripe_atlas_are_kept_the_same_way(
    hub: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, url = hub
    monkeypatch.setattr(ripeatlas, "LOOK_S", 0.01)
    monkeypatch.setenv("NETTRACE_ATLAS_KEY", "k")
    monkeypatch.setenv("NETTRACE_LEDGER", str(tmp_path / "l.sqlite"))
    words = ["remote", "ping", OTHER, "--via", "atlas", "--from", "Tokyo", "--probes", "2", "-n", "3"]
    fake = FakeAtlas()
    fake.silent = {11}
    with served(fake) as double:
        monkeypatch.setenv("NETTRACE_ATLAS_URL", double.url)
        done = CliRunner().invoke(group, [*words, "--yes", "--store", "--data", str(data)])
        assert done.exit_code == 6, done.output  # one of the two said nothing
        poor = CliRunner().invoke(
            group, [*words, "--yes", "--store", "--data", str(data)], env={"NETTRACE_ATLAS_CREDITS_DAY": "13"}
        )
    assert isinstance(poor.exception, QuotaExceeded), "12 of 13 credits are spent"
    assert posts(double) == 1

    def both() -> list[Any] | None:
        found = lent(url, "atlas", OTHER)
        return found if len(found) == 2 else None  # each probe is a vantage of its own and kept on its own

    found = until(both, "the looks of both probes")
    heard = {each["region"]: (each["outcome"], each["rtt_ms"]) for each in found}
    assert heard == {"atlas:6002": ("measured", 2.25), "atlas:11": ("not_measured", None)}


def test_two_at_once_never_spend_more_than_there_is(
    hub: tuple[Path, str], double: Double, tmp_path: Path
) -> None:
    data, _ = hub
    wanted = ("ping", HOST, "--from", "Tokyo,Osaka", "-n", "2", "--yes", "--store")
    both = [begun(double, data, tmp_path, *wanted, NETTRACE_GLOBALPING_TESTS_HOUR="2") for _ in range(2)]
    codes = sorted(ended(each)[0] for each in both)
    assert codes == [0, 7], "two tests each, two in all: one of them is told to come back"
    assert posts(double) == 1


@pytest.mark.parametrize(
    ("words", "environ_data", "code", "said"),
    [
        (("ping", "unheard.example", "--from", "Tokyo", "--yes", "--store"), True, 2, "no target with an endpoint"),
        (WANTED, False, 1, "no hub runs on"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused_before_anything_is_spent(
    hub: tuple[Path, str], double: Double, tmp_path: Path, words: tuple[str, ...], environ_data: bool, code: int, said: str
) -> None:  # fmt: skip
    refused, _, err = ended(begun(double, hub[0] if environ_data else tmp_path, tmp_path, *words))
    assert (refused, posts(double)) == (code, 0), err
    assert said in err
