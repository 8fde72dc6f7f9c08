"""Files that put the plan's sites to work: a node's unit for each, and what the hub has to know."""

from nettrace.errors import Invalid
from nettrace.placement.document.ground import Ground
from nettrace.placement.document.jobs import file_name, jobs, script, targets_file
from nettrace.placement.document.sections.trial import rules
from nettrace.placement.document.shape import File

_UNIT = """\
# {site}: a NetTrace node. Install: see INSTALL.md. It connects outwards only and needs no root but for the capability below.
[Unit]
Description=NetTrace node {code}
Wants=network-online.target
After=network-online.target

[Service]
ExecStart={words}
DynamicUser=yes
StateDirectory=nettrace-node
LoadCredential=token:/etc/nettrace/{code}.token
AmbientCapabilities=CAP_NET_RAW
CapabilityBoundingSet=CAP_NET_RAW
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
Restart=on-failure
RestartSec=10
TimeoutStopSec=10

[Install]
WantedBy=multi-user.target
"""
PROGRAM = "/opt/nettrace/bin/nettrace"


def node_words(ground: Ground, site: str, hub: str) -> list[str]:
    """The command line of a site's node, without the program."""
    code = ground.brief.of_site(site).vantage or file_name(site)
    known = ground.site(site)
    words = [
        "node",
        "--hub",
        hub,
        "--region",
        code,
        "--token-file",
        "%d/token",
        "--data",
        "/var/lib/nettrace-node",
    ]
    words += ["--country", known.country] if known.country else []
    words += (
        ["--at", f"{known.lat:g},{known.lon:g}"] if known.lat is not None and known.lon is not None else []
    )
    return words


def deployment(ground: Ground, hub: str) -> list[File]:
    """Every file, its name relative to one folder.

    Raises:
        Invalid: there is no plan to deploy, or two sites would have one name.
    """
    sites = ground.plan.sites
    if not sites:
        raise Invalid("there is no plan to deploy: nothing was written")
    names = {site: file_name(site) for site in sites}
    if len(set(names.values())) < len(names):
        raise Invalid(
            f"two of {', '.join(sites)} would share one folder",
            "Give them names that differ in letters or digits",
        )
    todo = jobs(ground.asked, ground.brief)
    made = [
        File("hub/targets.toml", "toml", targets_file(ground.asked, ground.brief)),
        File("hub/alerts.toml", "toml", rules(ground)),
    ]
    for site in sites:
        code = ground.brief.of_site(site).vantage or names[site]
        words = " ".join([PROGRAM, *node_words(ground, site, hub)])
        made.append(
            File(
                f"{names[site]}/nettrace-node.service", "ini", _UNIT.format(site=site, code=code, words=words)
            )
        )
        made.append(File(f"{names[site]}/probe.sh", "sh", script(site, todo)))
    return [*made, File("INSTALL.md", "markdown", _install(ground, hub))]


def _install(ground: Ground, hub: str) -> str:
    lines = [
        f"# {ground.brief.title}: installation", "", "On the hub, in its data folder:", "", "```sh",
        "nettrace targets import hub/targets.toml", "nettrace alerts rules --rules hub/alerts.toml   # check; then copy it to DATA/alerts.toml",
    ]  # fmt: skip
    codes = {site: ground.brief.of_site(site).vantage or file_name(site) for site in ground.plan.sites}
    lines += [f"nettrace fleet token --region {code} > {code}.token" for code in codes.values()]
    lines += ["```", "", f"The hub must be reachable as {hub} from every site.", ""]
    for site, code in codes.items():
        services = ", ".join(each.name for each in ground.services(site)) or "none named in the request"
        lines += [
            f"## {site}", "", f"Services: {services}.", "", "```sh", "python3 -m venv /opt/nettrace && /opt/nettrace/bin/pip install PATH-OR-INDEX/nettrace",
            f"install -D -m 600 {code}.token /etc/nettrace/{code}.token", f"install -m 644 {file_name(site)}/nettrace-node.service /etc/systemd/system/",
            "systemctl enable --now nettrace-node", "```", "",
        ]  # fmt: skip
    return "\n".join(lines)
