"""`python -m nettrace.api.worker`: one API process on a listening socket that its parent opened.

Several workers share one socket; the kernel hands out connections. Ends within five seconds of SIGTERM.
"""

import argparse
import asyncio
import logging
import resource
import socket
import sys
import time
from collections.abc import Callable, Sequence

import uvicorn
from litestar.types import ControllerRouterHandler

from nettrace.api.app import make_app
from nettrace.api.connection import DirectSocket, PatientProtocol
from nettrace.api.doors import exports
from nettrace.api.mounted import doors
from nettrace.api.service import Service
from nettrace.api.traced import Traced
from nettrace.hub.access import loopback
from nettrace.hub.link import WriterLink
from nettrace.hub.open import open_reader
from nettrace.hub.place import Data
from nettrace.runtime.logs import Log, LogHandler
from nettrace.runtime.telemetry import tracing

GRACE_S = 1


Pages = Callable[[Service], Sequence[ControllerRouterHandler]]
"""Makes the handlers of other doors, such as web pages, on the same service."""


def main(words: Sequence[str] | None = None, pages: Pages = lambda _: ()) -> int:
    """Serve until told to stop; `pages` are mounted beside the API."""
    given = _arguments().parse_args(words)
    _many_descriptors()
    logging.basicConfig(handlers=[LogHandler(Log("api"))], level=logging.WARNING)
    data = Data(given.data)
    host = given.bind.rpartition(":")[0] or given.bind
    inside = loopback(host) if given.fd else given.unix is not None
    traces = tracing("nettrace-api")
    link = WriterLink(data.socket, traces)
    service = Service(
        data,
        lambda: open_reader(data),
        link,
        now=time.time_ns,
        single_user=inside,
        public_hosts=given.public_host,
        loopback=inside,
    )
    service.exporter = exports.start
    service.begin(lambda: exports.sweep(service))
    sys.setswitchinterval(0.002)  # threads that encode give the event loop its turn sooner
    service.at_end(
        lambda: asyncio.to_thread(traces.close)
    )  # uvicorn ends by the signal it got: nothing runs after it
    app = make_app(service, [*doors(service, lambda: open_reader(data), link), *pages(service)])
    config = uvicorn.Config(
        Traced(app, traces) if traces.on else app,
        uds=given.unix,
        loop="uvloop",
        http=PatientProtocol,
        ws=DirectSocket,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE_S,
        proxy_headers=False,
        backlog=4096,
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=fd) for fd in given.fd] or None)
    return 0


def _many_descriptors() -> None:
    """As many open files as the host allows: each idle client holds one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 65_536) if hard != resource.RLIM_INFINITY else 65_536
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m nettrace.api.worker", description=__doc__)
    parser.add_argument("--fd", type=int, action="append", default=[], help="an inherited listening socket")
    parser.add_argument("--unix", metavar="PATH", help="serve on a Unix socket of this name instead")
    parser.add_argument("--data", required=True, metavar="DIR", help="the hub's data folder")
    parser.add_argument(
        "--bind", default="127.0.0.1:8787", help="what the socket is bound to, as said by the user"
    )
    parser.add_argument("--public-host", action="append", default=[], help="a name this hub answers to")
    return parser


if __name__ == "__main__":
    sys.exit(main())
