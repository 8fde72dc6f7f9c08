"""What the lab's addresses belong to, as the tables other people publish about the real internet."""

import csv
import io
from collections.abc import Iterable, Sequence
from ipaddress import ip_address, ip_network

from nettrace.lab.topology import Topology

_RADIUS_KM = 50.0


def prefix_table(topology: Topology) -> str:
    """Lines `prefix,asn,name` of every block handed out; the LANs of exchanges belong to no AS."""
    rows = ([str(prefix), str(asn), topology.networks[asn].name] for prefix, asn in topology.prefixes if asn)
    return _text(rows)


def place_table(topology: Topology) -> str:
    """Lines `prefix,country,city,latitude,longitude,radius_km` of every router, and every host at one site only.

    Private addresses, which several routers may have, and anycast hosts are left out, as no database could place them.
    """
    sites = {packed: router.group.site for packed, router in topology.owners.items()}
    sites |= {packed: host.groups[0].site for packed, host in topology.hosts.items() if len(host.groups) == 1}
    rows = (
        [str(ip_network(packed)), site.country, site.city, f"{site.latitude:.4f}", f"{site.longitude:.4f}", f"{_RADIUS_KM:g}"]
        for packed, site in sites.items()
        if ip_address(packed) not in ip_network("10.0.0.0/8")
    )  # fmt: skip
    return "prefix,country,city,latitude,longitude,radius_km\n" + _text(rows)


def _text(rows: Iterable[Sequence[str]]) -> str:
    made = io.StringIO()
    csv.writer(made, lineterminator="\n").writerows(rows)
    return made.getvalue()
