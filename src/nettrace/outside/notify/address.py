"""Which addresses a notice is posted to: those of the channel's host, checked, and the connection goes to that very one.

A URL in a file of rules may name anything, also the machine's own services or a cloud's metadata. What is closed says
`model.address`; a name that changes its mind between check and connection (DNS rebinding) changes nothing.
"""

import socket
from collections.abc import Iterable

from nettrace.errors import Forbidden, Unreachable
from nettrace.model.address import inside


def resolved(host: str, port: int, allow: Iterable[str] = ()) -> list[str]:
    """The addresses of a host, all of them checked.

    Raises:
        Unreachable: there are none. Forbidden: one of them may not be posted to. ConfigError: `allow` is no network.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise Unreachable(f"{host} has no address ({error})", "Check the channel's url") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    why = inside(addresses, allow)
    if why is not None:
        raise Forbidden(f"{host} leads to {why}", "The operator can open it: allow = [...] of the channel")
    return addresses
