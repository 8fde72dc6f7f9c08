"""The one command that makes a rung of the ladder available, for people to paste."""

import shlex
import sys
from pathlib import Path

ALLOW_ICMP_DATAGRAMS = 'sudo sysctl -w net.ipv4.ping_group_range="0 2147483647"'
"""Lets every user of this host (or of this container's network namespace) ping."""

ENABLE_IPV6 = "sudo sysctl -w net.ipv6.conf.lo.disable_ipv6=0"


def allow_raw() -> str:
    """Gives this very interpreter raw sockets; in a container the runtime must grant them (--cap-add NET_RAW)."""
    return f"sudo setcap cap_net_raw+ep {shlex.quote(str(Path(sys.executable).resolve()))}"
