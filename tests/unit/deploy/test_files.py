"""What stands in deploy/: commands the program has, files that are there, units systemd takes, rules Prometheus takes."""

import base64
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from nettrace.analysis.alerts.preset import PRESETS
from nettrace.cli.root import COMMANDS
from nettrace.placement.fleet import fly_configuration, wanted
from nettrace.placement.fleet_file import read_fleet, read_prices

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
RULES = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())
DASHBOARD = json.loads((DEPLOY / "grafana/nettrace.json").read_text())


def understood(words: list[str]) -> None:
    """Fails when `nettrace WORDS` is no command with these options."""
    command: click.Command = import_module(COMMANDS[words[0]][0]).command
    rest = words[1:]
    if isinstance(command, click.Group):
        command, rest = command.commands[rest[0]], rest[1:]
    command.make_parser(click.Context(command)).parse_args(list(rest))


def expressions() -> list[str]:
    """All PromQL of the dashboard, with its variables filled in."""
    texts = [each["expr"] for panel in DASHBOARD["panels"] for each in panel.get("targets", ())]
    texts += [each["expr"] for each in DASHBOARD["annotations"]["list"]]
    return [re.sub(r"\$\w+", ".*", text) for text in texts]


def run(*words: object, where: Path = ROOT) -> str:
    ran = subprocess.run(
        [str(word) for word in words], cwd=where, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


@pytest.mark.tool("promtool")
def test_prometheus_takes_the_rules_and_they_fire_when_they_should() -> None:
    assert "20 rules found" in run("promtool", "check", "rules", DEPLOY / "prometheus/alerts.yml")
    assert "SUCCESS" in run("promtool", "test", "rules", DEPLOY / "prometheus/alerts.test.yml")
    run("promtool", "check", "config", "--syntax-only", DEPLOY / "prometheus/prometheus.yml")


@pytest.mark.tool("promtool")
def test_prometheus_understands_every_panel(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(expressions())]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(rules)} rules found" in run("promtool", "check", "rules", file)


@pytest.mark.parametrize(
    ("preset", "alert", "scale"),
    [
        ("latency-warning", "NetTraceLatencyWarning", 1),
        ("latency-critical", "NetTraceLatencyCritical", 1),
        ("errors-warning", "NetTraceErrorsWarning", 100),
        ("errors-critical", "NetTraceErrorsCritical", 100),
        ("replication-warning", "NetTraceReplicationLagWarning", 1),
        ("replication-critical", "NetTraceReplicationLagCritical", 1),
        *((f"{what}-{level}", f"NetTraceNode{what.capitalize()}{level.capitalize()}", 100)
          for what in ("cpu", "memory", "disk") for level in ("warning", "critical")),
    ],
)  # fmt: skip
def test_thresholds_are_those_of_the_presets(preset: str, alert: str, scale: int) -> None:
    (rule,) = [each for group in RULES["groups"] for each in group["rules"] if each.get("alert") == alert]
    assert float(rule["expr"].rpartition(">")[2]) * scale == pytest.approx(PRESETS[preset]["above"])
    assert rule["labels"]["severity"] == PRESETS[preset]["severity"]
    assert rule["for"] == PRESETS[preset].get("for", "5m")


@pytest.mark.tool("systemd-analyze")
@pytest.mark.parametrize("unit", ["nettrace-node.service", "nettrace-hub.service"])
def test_systemd_takes_the_units_and_finds_them_hard(unit: str, tmp_path: Path) -> None:
    text = (DEPLOY / "systemd" / unit).read_text()
    (started,) = re.findall(r"^ExecStart=/opt/nettrace/bin/nettrace (.*)$", text, re.MULTILINE)
    understood(shlex.split(started))
    copy = tmp_path / unit
    copy.write_text(text.replace("/opt/nettrace/bin/nettrace", "/bin/true"))  # not installed here
    assert run("systemd-analyze", "verify", "--man=no", copy).strip() == ""
    run("systemd-analyze", "security", "--offline=yes", "--threshold=20", "--no-pager", copy)


def test_containers_copy_what_is_there_and_start_what_exists() -> None:
    for name, start in (("node", ["nettrace", "node"]), ("hub", ["nettrace"])):
        text = (DEPLOY / f"container/{name}.Containerfile").read_text()
        for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
            assert all((ROOT / source).exists() for source in sources.split()), sources
        assert json.loads(re.findall(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)[0]) == start
        assert re.search(r"^USER 10001$", text, re.MULTILINE)
    assert "[hub" not in (DEPLOY / "container/node.Containerfile").read_text()
    understood(json.loads(re.findall(r"^CMD (.*)$", text, re.MULTILINE)[0]))


def test_what_the_containers_copy_makes_a_whole_wheel(tmp_path: Path) -> None:
    """Built from the copied files alone, with the project's own backend: every file of the package is in it."""
    text = (DEPLOY / "container/node.Containerfile").read_text()
    copied = [
        word for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE) for word in line.split()
    ]
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert [line[1:] for line in ignored if line.startswith("!")] == copied, (
        ".dockerignore lets exactly these in"
    )
    for name in copied:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, tmp_path / name)
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "wheel", where=tmp_path)
    (wheel,) = (tmp_path / "wheel").glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("nettrace/")}
    there = {
        str(file.relative_to(tmp_path / "src")) for file in (tmp_path / "src").rglob("*") if file.is_file()
    }
    assert held == there


def test_compose_starts_what_exists_on_loopback_only() -> None:
    compose: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = compose["services"]
    understood(services["hub"]["command"])
    understood(["node", *services["node"]["command"]])
    for name, service in services.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        if "build" in service:
            assert (ROOT / service["build"]["dockerfile"]).exists()
            assert service["cap_drop"] == ["ALL"]
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in compose["volumes"], (
                volume
            )


def test_the_example_fleet_is_one_and_makes_configurations_fly_can_read() -> None:
    fleet = read_fleet((DEPLOY / "fleet/fleet.toml").read_text())
    read_prices((DEPLOY / "fleet/prices.toml").read_text())
    machines = [each for each in wanted(fleet) if each.provider == "fly"]
    assert len(machines) == 8
    for each in machines:
        made = tomllib.loads(fly_configuration(fleet, each))
        assert made["primary_region"] == each.places[0]
        assert made["vm"][0] | {"processes": []} == {
            "cpu_kind": "shared", "cpus": 1, "memory": "256mb", "persist_rootfs": "always", "processes": [],
        }  # fmt: skip
        understood(["node", *shlex.split(made["processes"]["node"])])
        assert made["files"][0]["secret_name"].startswith("NETTRACE_ENROL_")
    hub = tomllib.loads((DEPLOY / "fly/hub.toml").read_text())
    understood(shlex.split(hub["processes"]["hub"]))
    assert (DEPLOY / "fly" / hub["build"]["dockerfile"]).resolve().exists()


def test_the_vps_names_files_and_variables_that_are_there() -> None:
    main, variables = (DEPLOY / "vps/main.tf").read_text(), (DEPLOY / "vps/variables.tf").read_text()
    declared = set(re.findall(r'^variable "(\w+)"', variables, re.MULTILINE))
    assert set(re.findall(r"\bvar\.(\w+)", main)) == declared - (set() if "var.wheel" in main else {"wheel"})
    assert re.search(r'variable "enrolment_token" \{[^}]*sensitive\s+= true', variables)
    for path in re.findall(r"\$\{path\.module\}/([\w./-]+)", main):
        assert (DEPLOY / "vps" / path).exists(), path
    template = (DEPLOY / "vps/cloud-init.yaml").read_text()
    given = {"hub", "region", "token", "wheel", "unit"}
    assert set(re.findall(r"\$\{(?:jsonencode\()?(\w+)\)?\}", template)) == given
    filled = re.sub(r"\$\{jsonencode\(\w+\)\}", lambda _: json.dumps('a "quoted"\nline'), template)
    assert (
        yaml.safe_load(re.sub(r"\$\{\w+\}", "x", filled))["write_files"][2]["content"] == 'a "quoted"\nline'
    )


OF_THE_LANGUAGE = {"lifecycle", "depends_on", "count", "for_each", "provider", "provisioner", "connection"}


def assigned(text: str) -> list[tuple[tuple[str, ...], str]]:
    """(path of blocks, attribute or block) of formatted HCL: what `terraform fmt` leaves is one thing a line."""
    found: list[tuple[tuple[str, ...], str]] = []
    path: list[str] = []
    for line in (each.partition("#")[0].strip() for each in text.splitlines()):
        if begun := re.fullmatch(r'(\w+)((?: "\w+")*) \{', line):
            words = [begun[1], *re.findall(r'"(\w+)"', begun[2])]
            found.append((tuple(path), words[-1] if words[0] == "dynamic" else words[0]))
            path.append("/".join(words))
        elif line.startswith(("}", ")")):
            path.pop()
        else:
            if given := re.match(r"(\w+) += ", line):
                found.append((tuple(path), given[1]))
            if line.endswith(("{", "(")):
                path.append("value")
    assert path == [], "every block is closed"
    return found


def test_every_attribute_of_the_vps_is_one_of_the_provider() -> None:
    """Against the names the provider publishes (`tests/data/hcloud.json`); `terraform validate` needs the provider itself."""
    text = (DEPLOY / "vps/main.tf").read_text()
    known = json.loads((ROOT / "tests/data/hcloud.json").read_text())["resources"]
    resources = {
        path[0]: path[0].split("/")[1]
        for path, _ in assigned(text)
        if path and path[0].startswith("resource/")
    }
    assert set(resources.values()) == {"hcloud_server", "hcloud_firewall"}
    for place, kind in resources.items():
        given = {name for path, name in assigned(text) if path == (place,)}
        assert given - OF_THE_LANGUAGE <= {*known[kind]["required"], *known[kind]["optional"]}, kind
        assert given >= set(known[kind]["required"]), kind
        for block, schema in known[kind]["blocks"].items():
            inner = {name for path, name in assigned(text) if path == (place, f"dynamic/{block}", "content")}
            assert set(schema["required"]) <= inner <= {*schema["required"], *schema["optional"]}, block
    for kind, attribute in re.findall(r"\b(hcloud_\w+)\.node\.(\w+)", text):
        assert attribute in {*known[kind]["exported"], *known[kind]["required"], *known[kind]["optional"]}, (
            attribute
        )


@pytest.mark.tool("terraform")
def test_terraform_reads_the_vps_and_fills_its_first_boot(tmp_path: Path) -> None:
    """Its parser, its formatting and its template; the provider's schema would have to be fetched."""
    run("terraform", "fmt", "-check", "-diff", DEPLOY / "vps")
    given = 'hub = "https://h", region = "fra", token = "secret", wheel = "nettrace"'
    files = f'"{DEPLOY}/vps/cloud-init.yaml", {{ {given}, unit = file("{DEPLOY}/systemd/nettrace-node.service") }}'
    said = subprocess.run(
        ["terraform", "console", "-no-color"], input=f"base64encode(templatefile({files}))", cwd=tmp_path,
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    boot = yaml.safe_load(base64.b64decode(said.stdout.strip().splitlines()[-1].strip('"')))
    written = {each["path"]: each for each in boot["write_files"]}
    assert written["/etc/nettrace/node.env"]["content"] == "NETTRACE_HUB=https://h\nNETTRACE_PLACE=fra\n"
    assert written["/etc/nettrace/node.token"] == {
        "path": "/etc/nettrace/node.token", "permissions": "0600", "content": "secret",
    }  # fmt: skip
    unit = (DEPLOY / "systemd/nettrace-node.service").read_text()
    assert written["/etc/systemd/system/nettrace-node.service"]["content"] == unit
