"""Plain HTTP servers on loopback that take a stated time for an answer: the demo where no lab is allowed."""

import asyncio
import socket
import sys

from nettrace.runtime.supervise import Program

THINK_MS = {"near": 0.0, "far": 20.0, "slow": 80.0}
"""Name of a server, and what it takes for its answer. Loopback's round trips are those of this machine."""
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"


class PlainServers:
    """The servers' sockets, opened at once so that nobody else can take their ports."""

    def __init__(self) -> None:
        self._listeners = {name: socket.create_server(("127.0.0.1", 0), backlog=64) for name in THINK_MS}
        self.places = [(name, *each.getsockname()) for name, each in self._listeners.items()]

    def program(self) -> Program:
        """The process that answers."""
        words = [f"{each.fileno()}:{THINK_MS[name]}" for name, each in self._listeners.items()]
        fds = tuple(each.fileno() for each in self._listeners.values())
        return Program(
            name="servers",
            command=[sys.executable, "-m", "nettrace.lab.plain", *words],
            stage=0,
            fds=fds,
            needed=False,
        )

    def close(self) -> None:
        """Give the ports back."""
        for each in self._listeners.values():
            each.close()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, think_ms: float) -> None:
    try:
        async with asyncio.timeout(10):
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(think_ms / 1000)
            writer.write(_ANSWER)
            await writer.drain()
    except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
        pass  # whoever asks badly gets nothing
    finally:
        writer.close()


async def _serve(words: list[str]) -> None:
    servers: list[asyncio.Server] = []
    for word in words:
        fd, _, think = word.partition(":")
        think_ms = float(think)
        listener = socket.socket(fileno=int(fd))
        servers.append(await asyncio.start_server(lambda r, w, t=think_ms: _answer(r, w, t), sock=listener))
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1:]))
