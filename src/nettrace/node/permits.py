"""What this host permits a node, in the words that go to the hub and to the operator."""

from nettrace.measure.probing.capability import Capabilities, Rung

_WAYS = {
    "icmp": ((Rung.RAW, "raw"), (Rung.ICMP_DATAGRAM, "datagram")),
    "udp": ((Rung.RAW, "raw"), (Rung.UDP_ERROR_QUEUE, "error_queue")),
    "tcp": ((Rung.TCP_CONNECT, "connect"),),
    "trace": (
        (Rung.RAW, "raw"),
        (Rung.UDP_ERROR_QUEUE, "error_queue"),
        (Rung.ICMP_DATAGRAM, "datagram"),
        (Rung.TCP_CONNECT, "connect"),
    ),
    "http": ((Rung.TCP_CONNECT, "connect"),),
    "ws": ((Rung.TCP_CONNECT, "connect"),),
    "dns": ((Rung.UDP_ERROR_QUEUE, "datagram"),),
}


def methods_of(host: Capabilities) -> dict[str, str]:
    """Each round method this host permits, with the way it is done: `raw datagram error_queue connect`."""
    found: dict[str, str] = {}
    for method, ways in _WAYS.items():
        for rung, word in ways:
            if any(host.get(rung, version).available for version in (4, 6)):
                found[method] = word
                break
    return found


def problems_of(host: Capabilities) -> tuple[str, ...]:
    """What this host does not permit, with the command that changes it; nothing that only costs speed."""
    problems: list[str] = []
    for version in (4, 6):
        raw, icmp = host.get(Rung.RAW, version), host.get(Rung.ICMP_DATAGRAM, version)
        tcp = host.get(Rung.TCP_CONNECT, version)
        if not tcp.available:
            problems.append(_told(f"nothing over IPv{version}", tcp.why, tcp.remedy))
        elif not raw.available and not icmp.available:
            problems.append(_told(f"no icmp over IPv{version}", icmp.why, icmp.remedy))
    if not host.get(Rung.RAW, 4).available:
        raw = host.get(Rung.RAW, 4)
        problems.append(_told("no traces by tcp, so they go by udp or icmp", raw.why, raw.remedy))
    return tuple(problems)


def _told(what: str, why: str | None, remedy: str | None) -> str:
    return what + (f": {why}" if why else "") + (f" (to permit it: {remedy})" if remedy else "")
