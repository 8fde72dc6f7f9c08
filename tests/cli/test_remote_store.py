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
from tests.cli.program import nettrace
from tests.cli.test_up import until, up
from tests.unit.outside_remote.doubles import Double, FakeGlobalping, pinged, served

HOST, CODE = "api.binance.com", "globalping:tokyo-jp-as16509"
WANTED = ("ping", HOST, "--from", "Tokyo", "-n", "2", "--yes", "--store")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    folder = tmp_path_factory.mktemp("hub")
    with up(folder, "--no-node") as (_, url):
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
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def posts(double: Double) -> int:
    return sum(asked.method == "POST" for asked in double.asked)


def asked(url: str, path: str) -> Any:
    with urllib.request.urlopen(f"{url}/api/v1/{path}", timeout=20) as answer:
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
    with urllib.request.urlopen(f"{url}/fleet", timeout=20) as page:
        shown = page.read().decode()
    assert "third party: globalping" in shown and CODE in shown


def test_where_may_take_it_as_evidence_and_says_by_whom(
    hub: tuple[Path, str], double: Double, tmp_path: Path
) -> None:
    data, _ = hub
    assert ended(begun(double, data, tmp_path, *WANTED))[0] == 0
    done = nettrace("where", HOST, "--data", str(data))
    assert done.row["edge"]["nearest"]["place"]["name"] == CODE
    listed = nettrace("fleet", "list", "--data", str(data))
    assert CODE in listed.out and "THIRD PARTY: globalping's probe, not a node of yours" in listed.out


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
