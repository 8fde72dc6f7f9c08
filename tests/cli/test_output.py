"""Data on stdout in four forms, remarks on stderr, and exit codes that mean something."""

import csv
import io
import json
from pathlib import Path

import click
import pytest

from nettrace.cli.exits import exit_code
from nettrace.cli.output import Emitter, milliseconds
from nettrace.cli.report import Report
from nettrace.cli.target import hosts_of
from nettrace.cli.view import PingView, TraceView
from nettrace.errors import Invalid

PING = {
    "schema": "nettrace.ping/1",
    "target": "api.example",
    "address": "198.18.0.1",
    "method": "icmp",
    "outcome": "measured",
    "reason": None,
    "detail": None,
    "sent": 2,
    "received": 1,
    "not_measured": 0,
    "rtt_ms": [10.0, None],
    "min_ms": 10.0,
    "p50_ms": 10.0,
    "p95_ms": 10.0,
    "max_ms": 10.0,
    "clock": "kernel",
    "at": "2026-01-01T00:00:00.000000Z",
}


def written(capfdbinary: pytest.CaptureFixture[bytes], form: str | None, count: int) -> str:
    emitter = Emitter(form, PingView())
    for _ in range(count):
        emitter.emit(dict(PING))
    emitter.close()
    return capfdbinary.readouterr().out.decode()


def test_a_pipe_gets_one_json_object_a_line(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    lines = written(capfdbinary, None, 2).splitlines()
    assert [json.loads(line) for line in lines] == [PING, PING]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_json_is_one_array_however_many_results(
    capfdbinary: pytest.CaptureFixture[bytes], count: int
) -> None:
    assert json.loads(written(capfdbinary, "json", count)) == [PING] * count


def test_csv_has_a_header_and_plain_cells(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    (row,) = csv.DictReader(io.StringIO(written(capfdbinary, "csv", 1)))
    assert (row["p50_ms"], row["reason"], row["rtt_ms"]) == ("10.0", "", "10.0 -")


def test_the_table_says_loss_and_clock(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    text = written(capfdbinary, "table", 1)
    assert "50.0%" in text
    assert "kernel" in text


def test_a_trace_in_csv_lists_its_hops_by_address(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    emitter = Emitter("csv", TraceView())
    emitter.emit({"target": "t", "hops": [{"address": "10.0.0.1"}, {"address": None}], "outcome": "measured"})
    out = capfdbinary.readouterr().out.decode()
    assert "10.0.0.1 -" in out


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0.0123, "0.012"), (23.456, "23.46"), (153.24, "153.2")]
)
def test_times_keep_the_digits_that_mean_something(value: float | None, text: str) -> None:
    assert milliseconds(value, 0) == text


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        (["measured"], 0),
        (["measured", "failed"], 6),
        (["measured", "not_measured"], 6),
        (["failed", "failed"], 1),
        (["failed", "not_measured"], 1),
        (["not_measured"], 5),
        ([], 5),
    ],
)
def test_exit_codes(outcomes: list[str], code: int) -> None:
    assert exit_code(outcomes) == code


@pytest.mark.parametrize(
    ("fail_if", "code"), [(None, 0), ("p95>5ms", 3), ("p95>50ms", 0), ("loss>10%", 3)], ids=str
)
def test_a_report_ends_with_the_code_of_its_results(
    capfdbinary: pytest.CaptureFixture[bytes], fail_if: str | None, code: int
) -> None:
    with pytest.raises(click.exceptions.Exit) as end, Report("ndjson", PingView(), fail_if) as report:
        report.add(dict(PING))
    assert end.value.exit_code == code
    captured = capfdbinary.readouterr()
    assert len(captured.out.splitlines()) == 1
    assert bool(captured.err) is (code == 3)


def test_an_interrupt_keeps_what_was_measured(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with pytest.raises(click.exceptions.Exit) as end, Report("json", PingView(), None) as report:
        report.add(dict(PING))
        raise KeyboardInterrupt
    assert end.value.exit_code == 130
    assert json.loads(capfdbinary.readouterr().out) == [PING]


def test_hosts_come_from_arguments_then_file(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_text("# venues\napi.example\n\n198.18.0.1   # engine\n2001:db8::1\n")
    assert list(hosts_of(["first"], str(file))) == ["first", "api.example", "198.18.0.1", "2001:db8::1"]


@pytest.mark.parametrize("host", ["https://h/p", "a b", "", "x" * 300, "a\x00b"])
def test_what_cannot_be_a_host_is_refused(host: str) -> None:
    with pytest.raises(Invalid):
        list(hosts_of([host], None))


def test_a_bad_line_is_named_by_file_and_line_and_stops_nobody_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "hosts"
    file.write_text("good\nhttps://bad/\nbetter\n")
    assert list(hosts_of([], str(file))) == ["good", "https://bad/", "better"]
    assert "hosts:2" in capsys.readouterr().err


def test_lines_from_other_systems_are_lines(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_bytes(b"\xef\xbb\xbffirst\r\n\r\n  # remark\r\n\tsecond # here\r\n\xff\xfe\nlast")
    assert list(hosts_of([], str(file))) == ["first", "second", "\\xff\\xfe", "last"]


def test_no_target_at_all_says_what_to_do() -> None:
    with pytest.raises(Invalid, match="Name a HOST"):
        list(hosts_of([], None))
