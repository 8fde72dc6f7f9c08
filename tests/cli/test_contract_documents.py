"""Every command's documents on this host alone: fields, types, exit codes, and nothing but data on stdout."""

import csv
import io
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.program import check_shape, nettrace

LOOPBACK = ("127.0.0.1", "::1")
IMPOSSIBLE = "x" * 64 + ".example"
"""No resolver is asked for it: a label has 63 characters at most."""


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port nobody listens on, and nobody can take while it is bound here."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.mark.root
@pytest.mark.parametrize("method", ["icmp", "udp"])
def test_ping_of_both_ip_versions_is_timed_by_the_kernel(method: str) -> None:
    done = nettrace("ping", *LOOPBACK, "-n", "4", "-i", "0.01", "--method", method)
    assert (done.code, done.err) == (0, "")
    for address, row in done.by_target.items():
        check_shape(row)
        assert (row["address"], row["method"], row["outcome"]) == (address, method, "measured")
        assert (row["sent"], row["received"], row["clock"]) == (4, 4, "kernel")


def test_a_refused_handshake_is_a_failure_whose_time_is_known(closed_port: int) -> None:
    done = nettrace("ping", "127.0.0.1", "--method", "tcp", "--port", str(closed_port), "-n", "2", "-i", "0")
    check_shape(done.row)
    assert (done.code, done.row["reason"], done.row["received"]) == (1, "refused", 2)


@pytest.mark.parametrize("method", ["udp", "tcp"])
def test_trace_ends_at_the_destination(method: str) -> None:
    done = nettrace("trace", *LOOPBACK, "--method", method, "-q", "3")
    assert (done.code, done.err) == (0, "")
    for row in done.by_target.values():
        check_shape(row)
        assert (row["reached"], len(row["hops"]), len(row["hops"][0]["rtt_ms"])) == (True, 1, 3)
        assert row["vantage"] is None


def test_sweep_makes_trace_documents_of_a_file() -> None:
    done = nettrace("sweep", "-f", "-", stdin=b"127.0.0.1\n::1\n")
    assert done.code == 0
    for row in done.by_target.values():
        check_shape(row)
        assert (row["schema"], row["reached"]) == ("nettrace.trace/1", True)


@pytest.mark.parametrize(
    ("words", "schema"),
    [(("http", "http://{}/"), "nettrace.http/1"), (("ws", "ws://{}/"), "nettrace.ws/1")],
    ids=["http", "ws"],
)
def test_a_refused_service_is_a_failure_with_the_same_fields(
    words: tuple[str, str], schema: str, closed_port: int
) -> None:
    done = nettrace(words[0], words[1].format(f"127.0.0.1:{closed_port}"))
    check_shape(done.row)
    assert (done.code, done.row["schema"], done.row["reason"]) == (1, schema, "refused")


def test_a_refused_question_is_a_failure_with_the_same_fields(closed_port: int) -> None:
    done = nettrace("dns", "name.example", "--server", "127.0.0.1", "--port", str(closed_port))
    check_shape(done.row)
    assert (done.code, done.row["reason"], done.row["server"]) == (1, "refused", "127.0.0.1")


@pytest.mark.parametrize("command", ["ping", "trace", "sweep"])
@pytest.mark.parametrize("host", [IMPOSSIBLE, "a..b"])
def test_a_name_that_cannot_resolve_is_data(command: str, host: str) -> None:
    done = nettrace(command, host)
    check_shape(done.row)
    assert (done.code, done.row["target"]) == (1, host)
    assert (done.row["outcome"], done.row["reason"], done.row["address"]) == ("failed", "dns", None)
    assert done.row["detail"]


@pytest.mark.parametrize(("family", "host"), [("-4", "::1"), ("-6", "127.0.0.1")])
def test_an_address_of_the_other_family_is_refused_as_data(family: str, host: str) -> None:
    done = nettrace("ping", family, host, "-n", "1")
    check_shape(done.row)
    assert (done.code, done.row["reason"], done.row["address"]) == (1, "dns", None)


@pytest.mark.parametrize("command", ["ping", "trace", "sweep"])
def test_an_ipv4_address_in_ipv6_clothes_is_that_ipv4_address(command: str) -> None:
    words = ("-n", "1", "--method", "udp") if command == "ping" else ()
    row = nettrace(command, "::ffff:127.0.0.1", *words).row
    assert (row["target"], row["address"], row["outcome"]) == ("::ffff:127.0.0.1", "127.0.0.1", "measured")


def test_good_and_bad_targets_together_exit_6_and_all_are_there() -> None:
    done = nettrace("ping", "127.0.0.1", IMPOSSIBLE, "a..b", "-n", "1", "--method", "udp")
    assert done.code == 6
    assert {target: row["outcome"] for target, row in done.by_target.items()} == {
        "127.0.0.1": "measured",
        IMPOSSIBLE: "failed",
        "a..b": "failed",
    }


def test_the_same_host_twice_is_measured_twice() -> None:
    done = nettrace("trace", "127.0.0.1", "127.0.0.1", "127.0.0.1")
    assert [row["target"] for row in done.rows] == ["127.0.0.1"] * 3
    assert done.code == 0


@pytest.mark.parametrize("command", ["ping -n 1", "trace", "sweep"])
def test_a_file_of_targets_is_read_as_people_and_other_systems_write_it(command: str, tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_bytes(
        b"\xef\xbb\xbf127.0.0.1\r\n\r\n# remark\r\n  ::1   # mine\r\nhttp://x/\r\n\xff\xfe\r\n127.0.0.2"
    )
    done = nettrace(*command.split(), "-f", str(file), "--timeout", "1")
    good = {target for target, row in done.by_target.items() if row["outcome"] == "measured"}
    assert good == {"127.0.0.1", "127.0.0.2", "::1"}
    assert {row["reason"] for row in done.rows} == {None, "dns"}
    assert len(done.rows) == 5
    assert done.code == 6
    assert f"{file}:5" in done.err


@pytest.mark.parametrize("command", ["ping", "trace", "sweep"])
def test_an_empty_file_measures_nothing_and_says_so(command: str) -> None:
    done = nettrace(command, "-f", "-", stdin=b"\n# nothing\n")
    assert (done.code, done.out) == (5, "")
    assert "no target in stdin" in done.err


@pytest.mark.parametrize(
    "words",
    [
        ("ping",),
        ("trace",),
        ("sweep",),
        ("ping", "-f", "/no/such/file"),
        ("trace", "-f", "/"),
        ("sweep", "-f", "/no/such/file"),
        ("ping", "http://127.0.0.1/"),
        ("trace", "two words"),
        ("sweep", "127.0.0.1/32"),
        ("ping", "127.0.0.1", "--timeout", "nan"),
        ("trace", "127.0.0.1", "--timeout", "inf"),
        ("sweep", "127.0.0.1", "--timeout", "0"),
        ("ping", "127.0.0.1", "--rate", "inf"),
        ("trace", "127.0.0.1", "--rate", "0"),
        ("sweep", "127.0.0.1", "--rate", "nan"),
        ("ping", "127.0.0.1", "--port", "65536"),
        ("trace", "127.0.0.1", "--method", "pigeon"),
        ("sweep", "127.0.0.1", "--fail-if", "beauty<3"),
        ("ping", "127.0.0.1", "-n", "0"),
        ("ping", "127.0.0.1", "-i", "-1"),
        ("trace", "127.0.0.1", "--max-ttl", "0"),
        ("trace", "127.0.0.1", "--flow", "-1"),
        ("trace", "127.0.0.1", "-q", "0"),
        ("trace", "127.0.0.1", "--from", "Atlantis"),
        ("http", "127.0.0.1"),
        ("http", "http://[::1"),
        ("http", "https://127.0.0.1:1/", "--ca", "/no/such/file"),
        ("http", "http://127.0.0.1:1/", "-H", "no colon"),
        ("http", "http://127.0.0.1:1/", "--address", "not.an.address"),
        ("ws", "http://127.0.0.1/"),
        ("dns", "x", "--server", "not.an.address"),
        ("dns", "x", "--type", "NONSENSE"),
        ("claim", "check", "hello"),
        ("completion", "tcsh"),
        ("nothing-like-this",),
        ("-o", "ndjson", "ping", "127.0.0.1"),
        ("--fail-if", "beauty<3"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_asked_ends_with_2_one_message_and_no_data(words: tuple[str, ...]) -> None:
    done = nettrace(*words)
    assert (done.code, done.out) == (2, "")
    assert done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("condition", "code"),
    [("p50<1h", 2), ("p50<10s", 3), ("loss>0%", 0), ("p95>10s or loss>=0", 3), ("p95>10s and loss>=0", 0)],
)
def test_fail_if_ends_with_3_when_it_holds(condition: str, code: int) -> None:
    done = nettrace("ping", "127.0.0.1", "-n", "1", "--method", "udp", "--fail-if", condition)
    assert done.code == code
    assert len(done.rows) == (code != 2)
    assert ("--fail-if" in done.err) is (code != 0)


def test_fail_if_does_not_hide_that_a_target_failed() -> None:
    assert nettrace("ping", IMPOSSIBLE, "--fail-if", "p95>1ms").code == 1


@pytest.mark.parametrize("form", ["json", "csv", "table"])
def test_other_forms_carry_the_same_facts(form: str) -> None:
    done = nettrace("trace", *LOOPBACK, "-o", form)
    assert (done.code, done.err) == (0, "")
    if form == "json":
        assert {row["target"] for row in json.loads(done.out)} == set(LOOPBACK)
    elif form == "csv":
        rows = list(csv.DictReader(io.StringIO(done.out)))
        assert {row["target"]: row["hops"] for row in rows} == {each: each for each in LOOPBACK}
    else:
        assert all(each in done.out for each in LOOPBACK)
        assert "\x1b" not in done.out, "colour in a pipe"


def test_a_claim_a_finding_and_an_imported_result_are_one_object_a_line(tmp_path: Path) -> None:
    claim = nettrace("claim", "check", "EWR -> SIN 40ms")
    assert claim.code == 0
    assert {"schema": "nettrace.claim/1", "verdict": "impossible"}.items() <= claim.row.items()
    assert all(claim.row[name] > 0 for name in ("floor_ms", "fibre_ms", "distance_km"))
    doctor = nettrace("doctor")
    assert doctor.code in {0, 5}
    assert all({"check", "available", "why", "remedy"} <= row.keys() for row in doctor.rows)
    assert all(row["why"] for row in doctor.rows if not row["available"])
    file = tmp_path / "atlas.jsonl"
    ping = {
        "type": "ping", "fw": 5080, "msm_id": 1, "prb_id": 7, "timestamp": 1700000000, "dst_name": "198.18.0.1",
        "dst_addr": "198.18.0.1", "af": 4, "proto": "ICMP", "sent": 1, "rcvd": 1, "result": [{"rtt": 3.5}],
    }  # fmt: skip
    file.write_text(json.dumps(ping) + "\nnonsense\n")
    imported = nettrace("import", "atlas", str(file))
    assert imported.code == 6
    assert (imported.row["schema"], imported.row["rtt_ms"], imported.row["vantage"]) == (
        "nettrace.ping/1",
        [3.5],
        "atlas:7",
    )
    assert f"{file}:2" in imported.err
