"""The API worker where nothing but this machine has an address: names that a fuzzer invents are asked nowhere."""

import socket
import sys
from typing import Any

from nettrace.api import service, worker

_real = socket.getaddrinfo


async def _nothing(_: str) -> list[str]:
    return []


def _loopback_only(host: Any, *args: Any, **more: Any) -> Any:
    if host not in {None, "localhost", "127.0.0.1", "::1"}:
        raise socket.gaierror(socket.EAI_NONAME, "tests ask no resolver")
    return _real(host, *args, **more)


if __name__ == "__main__":
    socket.getaddrinfo = _loopback_only
    service.addresses_of = _nothing
    sys.exit(worker.main())
