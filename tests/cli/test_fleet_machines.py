"""`nettrace fleet plan|apply|ls|status|destroy`: seen before done, done once, undone only with the right token."""

import stat
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.unit.providers.fly_double import Fly, serving

from nettrace.cli.root import group
from nettrace.errors import ConfigError
from nettrace.hub.open import folder_of, open_reader, open_writer

FILE = """
hub = "https://hub.example.net"
prices = "prices.toml"
[fly]
app = "nodes"
image = "registry.fly.io/nodes:1"
token = "env:FLY_TEST_TOKEN"
api = "{api}"
[[machines]]
provider = "fly"
regions = ["fra", "ams"]
[[machines]]
provider = "fly"
regions = ["nrt"]
count = 2
"""
PRICES = 'source = "https://prices.example"\nfetched = 2026-11-01\n[usd_month.fly."shared-cpu-1x:256"]\n"*" = 2.02\n'


@pytest.fixture
def fly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fly]:
    monkeypatch.setenv("FLY_TEST_TOKEN", "fly-token")
    open_writer(folder_of(tmp_path / "data")).close()
    (tmp_path / "prices.toml").write_text(PRICES)
    with serving() as double:
        (tmp_path / "fleet.toml").write_text(FILE.replace("{api}", double.url))
        yield double


@pytest.fixture
def run(tmp_path: Path) -> Any:
    def invoke(*words: str) -> Result:
        options = ("--file", str(tmp_path / "fleet.toml"), "--data", str(tmp_path / "data"))
        return CliRunner().invoke(group, ["fleet", *words, *options])

    return invoke


def token(result: Result) -> str:
    return result.stdout.rpartition("--confirm ")[2].split()[0]


def test_a_plan_shows_cost_and_creates_nothing(fly: Fly, run: Any) -> None:
    shown = run("plan")
    assert shown.exit_code == 0, shown.output
    assert "fly:fra, else ams shared-cpu-1x:256  $2.02/month" in shown.stdout
    assert "The fleet will cost $6.06 a month; 3 steps." in shown.stdout
    assert "prices of 2026-11-01" in shown.stderr
    assert "Fly has 4 regions as of 20" in shown.stderr
    assert all(method == "GET" for method, _, _ in fly.calls)


def test_apply_wants_the_plans_token_and_is_done_once(fly: Fly, run: Any, tmp_path: Path) -> None:
    right = token(run("plan"))
    refused = run("apply")
    assert "nobody confirmed" in str(refused.exception)
    assert "another plan" in str(run("apply", "--confirm", "000000000000").exception)
    assert fly.machines == {}
    fly.full = {"fra": (412, "insufficient resources")}
    done = run("apply", "--confirm", right)
    assert done.exit_code == 0, done.output
    assert "nettrace-fra: no room in fra" in done.stdout
    assert "nettrace-fra: started in ams" in done.stdout
    command = next(m for m in fly.machines.values() if m["region"] == "ams")["config"]["init"]["exec"]
    assert command[command.index("--city") + 1] == "Amsterdam", "where it stands, not where it was wanted"
    assert "0 steps" in run("apply").stdout
    enrolling = list(fly.secrets.values())
    assert len(set(enrolling)) == 3
    everything = run("plan").output + done.output + refused.output
    assert not any(value in everything for value in enrolling)


def test_status_tells_who_is_not_well(fly: Fly, run: Any) -> None:
    run("apply", "--confirm", token(run("plan")))
    said = run("status")
    assert said.exit_code == 3
    assert said.stdout.count("not enrolled") == 3
    assert run("ls").stdout.count("fly:") == 3


def test_destroy_needs_the_token_of_exactly_these_machines(fly: Fly, run: Any, tmp_path: Path) -> None:
    run("apply", "--confirm", token(run("plan")))
    fly.foreign("somebodys")
    assert "Nothing to destroy" in run("destroy").stdout
    one, every = run("destroy", "nettrace-fra"), run("destroy", "--all")
    assert len(fly.machines) == 4
    assert "another plan" in str(run("destroy", "--all", "--confirm", token(one)).exception)
    assert len(fly.machines) == 4
    gone = run("destroy", "--all", "--confirm", token(every))
    assert gone.exit_code == 0, gone.output
    assert [each["name"] for each in fly.machines.values()] == ["somebodys"]


def test_without_a_hub_nothing_is_made_and_what_goes_says_that_its_node_stays(
    fly: Fly, run: Any, tmp_path: Path
) -> None:
    run("apply", "--confirm", token(run("plan")))
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    gone = run("destroy", "nettrace-fra", "--confirm", token(run("destroy", "nettrace-fra")))
    assert gone.exit_code == 0
    assert "NOT revoked" in gone.stdout
    refused = run("apply", "--confirm", token(run("plan")))
    assert "there is no hub in" in str(refused.exception)
    assert len(fly.machines) == 2
    assert not (tmp_path / "data").exists()


def test_prices_may_come_from_an_address_and_say_how_old_they_are(fly: Fly, run: Any, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "prices.toml").write_text(PRICES.replace("2026-11-01", "2024-11-01").replace("2.02", "9.5"))
    handler = partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        file = tmp_path / "fleet.toml"
        file.write_text(
            file.read_text().replace('"prices.toml"', f'"http://127.0.0.1:{server.server_port}/prices.toml"')
        )
        shown = run("plan")
        server.shutdown()
        thread.join()
    assert "$28.50 a month" in shown.stdout
    assert "prices are of 2024-11-01" in shown.stdout
    (tmp_path / "fleet.toml").write_text('hub = "https://h"\nprices = "none.toml"\nmachines = []\n')
    said = str(run("plan").exception)
    assert f"cannot read {tmp_path / 'none.toml'}: No such file" in said
    assert f"the path given with 'prices' in {tmp_path / 'fleet.toml'}" in said


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


def test_logs_of_one_machine_and_configurations_for_all(fly: Fly, run: Any, tmp_path: Path) -> None:
    run("apply", "--confirm", token(run("plan")))
    next(iter(fly.machines.values()))["events"] = [
        {"type": "start", "status": "started", "timestamp": 7, "source": "flyd"}
    ]
    assert "7 start started flyd" in run("logs", "nettrace-fra").stdout
    assert "no machine 'nettrace-lhr'" in str(run("logs", "nettrace-lhr").exception)
    made = CliRunner().invoke(
        group, ["fleet", "config", str(tmp_path / "out"), "--file", str(tmp_path / "fleet.toml")]
    )
    assert made.exit_code == 0, made.output
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "fly.fra.toml",
        "fly.nrt-1.toml",
        "fly.nrt-2.toml",
    ]


def test_a_step_that_fails_stops_no_other_and_is_taken_by_the_next_apply(fly: Fly, run: Any) -> None:
    right = token(run("plan"))
    fly.fault = lambda _m, path: (
        (403, {"error": "forbidden"}, {}) if path.endswith("ENROL_NETTRACE_NRT_1") else None
    )
    failed = run("apply", "--confirm", right)
    assert "1 of 3 steps failed" in str(failed.exception)
    fly.fault = lambda _m, _p: None
    again = run("plan")
    assert "1 steps" in again.stdout
    assert run("apply", "--confirm", token(again)).exit_code == 0
    assert len(fly.machines) == 3


def test_a_machine_that_goes_takes_its_node_with_it(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process of this machine that enrols, then is destroyed: the hub has revoked its node."""
    from nettrace.hub.enrolment import token_hash
    from nettrace.model.vantage import Vantage
    from nettrace.wire.signing import key_of

    program = tmp_path / "alike"
    program.write_text(f"#!{sys.executable}\nimport signal; signal.pause()\n")
    program.chmod(stat.S_IRWXU)
    data = folder_of(tmp_path / "data")
    open_writer(data).close()
    (tmp_path / "fleet.toml").write_text('hub = "http://127.0.0.1:9"\n[[machines]]\nprovider = "local"\n')
    monkeypatch.setattr(
        "nettrace.outside.providers.local.LocalMachines.__init__.__defaults__",
        ((str(program),),),
        raising=True,
    )
    try:
        assert run("apply", "--confirm", token(run("plan"))).exit_code == 0
        given = (tmp_path / "data/fleet/nettrace-here/token").read_text()
        store = open_writer(data)
        vantage = Vantage(code="here", node="node_1", enrolled_at=1, version="1")
        assert store.enrol(token_hash(given), vantage, key_of("secret"), 2)
        store.close()
    finally:
        gone = run("destroy", "--all", "--confirm", token(run("destroy", "--all")))
    assert gone.exit_code == 0, gone.output
    reader = open_reader(data)
    assert [row.vantage.state for row in reader.nodes()] == ["revoked"]
    reader.close()


def test_a_file_that_cannot_be_is_named_with_what_it_may_say(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('hub = "https://h"\n[[machines]]\nprovider = "aws"\nname = "a"\n')
    told = CliRunner().invoke(group, ["fleet", "plan", "--file", str(file)]).exception
    assert isinstance(told, ConfigError)
    assert told.detail.startswith(f"{file} cannot be read: Invalid enum value 'aws'")
    assert told.hint == "'provider' is fly, ssh or local"
