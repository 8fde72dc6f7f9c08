"""Hosts that give little: no rights, no network, no IPv6, no resolver, no home, nothing to write on.

Everything runs in a network namespace of its own, so what the host at hand permits plays no part.
"""

import shlex
from pathlib import Path

import pytest
from tests.cli.nobody import nobodys_program
from tests.cli.program import PROGRAM, Done, check_shape, run

pytestmark = [pytest.mark.alone, pytest.mark.root, pytest.mark.tool("unshare"), pytest.mark.tool("ip")]

LOOPBACK = "ip link set lo up"
NO_IPV6 = "echo 1 | tee /proc/sys/net/ipv6/conf/*/disable_ipv6 >/dev/null"
NO_RESOLVER = "for each in resolv.conf hosts nsswitch.conf; do mount --bind /dev/null /etc/$each; done"
NOTHING_TO_WRITE_ON = (
    "mount -t tmpfs -o ro none /var/tmp; mount -t tmpfs -o ro none /run; export TMPDIR=/run HOME=/nowhere"
)


def inside(setup: str, *words: str) -> Done:
    """A command in a network and mount namespace of its own, after these shell commands."""
    script = f"{setup}; exec {shlex.join(words)}" if setup else f"exec {shlex.join(words)}"
    return run(["unshare", "--net", "--mount", "sh", "-c", script])


@pytest.fixture(scope="module")
def nobody(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    return nobodys_program(tmp_path_factory.mktemp("nobody"))


# -- without any right -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["ping", "trace", "sweep"])
def test_what_is_not_permitted_is_not_measured_and_names_the_command_that_permits_it(
    nobody: tuple[str, ...], command: str
) -> None:
    done = inside(LOOPBACK, *nobody, command, "127.0.0.1", "::1", "--method", "icmp")
    assert done.code == 5
    assert set(done.by_target) == {"127.0.0.1", "::1"}
    for row in done.rows:
        check_shape(row)
        assert (row["outcome"], row["reason"]) == ("not_measured", "not_permitted")
        assert 'sudo sysctl -w net.ipv4.ping_group_range="0 2147483647"' in row["detail"]
        assert "sudo setcap cap_net_raw+ep /" in row["detail"]


def test_icmp_is_permitted_by_the_command_that_was_named(nobody: tuple[str, ...]) -> None:
    permit = f'{LOOPBACK}; sysctl -qw net.ipv4.ping_group_range="0 2147483647"'
    done = inside(permit, *nobody, "ping", "127.0.0.1", "::1", "--method", "icmp", "-n", "2", "-i", "0.01")
    assert done.code == 0
    assert {row["clock"] for row in done.rows} == {"kernel"}


def test_a_ping_without_a_method_takes_the_one_that_is_permitted_and_says_so(nobody: tuple[str, ...]) -> None:
    row = inside(LOOPBACK, *nobody, "ping", "127.0.0.1", "-n", "1").row
    check_shape(row)
    assert (row["method"], row["reason"]) == ("tcp", "refused")
    assert "by TCP connect, because this user may not send icmp" in row["detail"]


@pytest.mark.parametrize("command", ["trace", "sweep"])
@pytest.mark.parametrize("method", ["udp", "tcp"])
def test_paths_are_found_without_any_right(nobody: tuple[str, ...], command: str, method: str) -> None:
    done = inside(LOOPBACK, *nobody, command, "127.0.0.1", "::1", "a..b", "--method", method)
    assert done.code == 6
    for target in ("127.0.0.1", "::1"):
        row = done.by_target[target]
        check_shape(row)
        assert (row["reached"], [hop["address"] for hop in row["hops"]]) == (True, [target])
    assert ("may not open raw sockets" in done.err) is (command == "sweep")


def test_doctor_names_what_is_missing_and_the_one_command_that_changes_it(nobody: tuple[str, ...]) -> None:
    done = inside(LOOPBACK, *nobody, "doctor")
    assert done.code == 0
    found = {(row["check"], row["version"]): row for row in done.rows}
    for version in (4, 6):
        assert "setcap cap_net_raw+ep" in found["raw", version]["remedy"]
        assert "ping_group_range" in found["icmp_datagram", version]["remedy"]
        assert found["udp_error_queue", version]["available"]
        assert found["tcp_connect", version]["available"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("http", "http://127.0.0.1:9/"), 1),
        (("ws", "ws://[::1]:9/"), 1),
        (("dns", "name.example", "--server", "127.0.0.1"), 1),
        (("claim", "check", "EWR -> SIN 40ms"), 0),
        (("databases", "list"), 0),
        (("completion", "bash"), 0),
        (("import", "atlas", "/dev/null"), 1),
        (("lab", "status"), 1),
        (("-o", "ndjson"), 1),
    ],
    ids=lambda each: each[0] if isinstance(each, tuple) else str(each),
)
def test_everything_else_works_for_nobody_without_home_or_room_to_write(
    nobody: tuple[str, ...], words: tuple[str, ...], code: int
) -> None:
    done = inside(f"{LOOPBACK}; {NO_RESOLVER}; {NOTHING_TO_WRITE_ON}", *nobody, *words)
    assert done.code == code, done.err
    assert "Traceback" not in done.err


def test_a_folder_that_cannot_be_written_is_said_not_stumbled_over(
    nobody: tuple[str, ...], tmp_path: Path
) -> None:
    table = tmp_path / "mine.csv"
    table.write_text("192.0.2.0/24,64500,EXAMPLE\n")
    for each in (tmp_path, *tmp_path.parents):
        if each.is_relative_to("/tmp"):
            each.chmod(each.stat().st_mode | 0o555)
    done = inside("", *nobody, "databases", "add", "asn", str(table))
    assert done.code in {1, 2}
    assert done.err.startswith("nettrace: ")
    assert "Traceback" not in done.err


# -- without a network -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["ping -n 1", "trace --max-ttl 3", "sweep"])
@pytest.mark.parametrize("user", ["root", "nobody"])
def test_without_any_network_nothing_is_measured_and_nobody_else_is_blamed(
    nobody: tuple[str, ...], command: str, user: str
) -> None:
    program = PROGRAM if user == "root" else nobody
    done = inside(
        "", *program, *command.split(), "192.0.2.1", "2001:db8::1", "--method", "udp", "--timeout", "0.3"
    )
    assert done.code == 5
    assert set(done.by_target) == {"192.0.2.1", "2001:db8::1"}
    for row in done.rows:
        check_shape(row)
        assert (row["outcome"], row["reason"]) == ("not_measured", "vantage_down")
        assert row["detail"], "it must be said why"
        assert row.get("hops", []) == []


@pytest.mark.parametrize(
    "words", [("http", "http://192.0.2.1/"), ("ws", "ws://192.0.2.1/")], ids=lambda words: words[0]
)
def test_services_without_a_network_are_not_measured(words: tuple[str, ...]) -> None:
    done = inside("", *PROGRAM, *words)
    check_shape(done.row)
    assert (done.code, done.row["outcome"], done.row["detail"]) == (
        5,
        "not_measured",
        "this host has no route there",
    )


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_without_ipv6_the_other_half_goes_on(nobody: tuple[str, ...], user: str) -> None:
    program = PROGRAM if user == "root" else nobody
    done = inside(
        f"{LOOPBACK}; {NO_IPV6}", *program, "trace", "127.0.0.1", "::1", "--timeout", "0.3", "--max-ttl", "3"
    )
    assert done.code == 6
    assert done.by_target["127.0.0.1"]["reached"]
    assert done.by_target["::1"]["outcome"] == "not_measured"


def test_without_a_resolver_names_fail_and_addresses_do_not() -> None:
    setup = f"{LOOPBACK}; {NO_RESOLVER}"
    done = inside(setup, *PROGRAM, "trace", "127.0.0.1", "name.example", "--names")
    assert done.code == 6
    assert done.by_target["127.0.0.1"]["reached"]
    missing = done.by_target["name.example"]
    assert (missing["outcome"], missing["reason"], missing["address"]) == ("failed", "dns", None)
