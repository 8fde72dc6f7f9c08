"""Sockets that listen inside a vantage and are answered outside of it.

A socket belongs for ever to the network it was made in, whoever holds it. So a process that enters a vantage, listens
on its loopback and hands the descriptor out gives programs there a way to a server here, without any route between.
"""

import socket
import subprocess
import sys
from collections.abc import Sequence

from nettrace.errors import LabError
from nettrace.lab.session import RunningLab

_PATIENCE_S = 30.0


def listeners(lab: RunningLab, vantages: Sequence[str], port: int) -> list[socket.socket]:
    """For each vantage a socket that listens on its 127.0.0.1:port; in this process, to be answered here.

    Raises:
        LabError: a vantage could not be entered, or something listens there already.
    """
    waiting: list[tuple[str, socket.socket, subprocess.Popen[bytes]]] = []
    for vantage in vantages:
        ours, theirs = socket.socketpair()
        command = [*lab.prefix(vantage), sys.executable, "-m", "nettrace.lab.doorway"]
        command += [str(theirs.fileno()), str(port)]
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()
        waiting.append((vantage, ours, process))
    found = [_receive(vantage, ours) for vantage, ours, _ in waiting]
    for _, _, process in waiting:
        process.wait(_PATIENCE_S)
    for (vantage, _, _), listener in zip(waiting, found, strict=True):
        if listener is None:
            for each in found:
                if each is not None:
                    each.close()
            raise LabError(f"nothing can listen on 127.0.0.1:{port} at the vantage '{vantage}'")
    return [listener for listener in found if listener is not None]


def _receive(vantage: str, ours: socket.socket) -> socket.socket | None:
    with ours:
        ours.settimeout(_PATIENCE_S)
        try:
            _, descriptors, _, _ = socket.recv_fds(ours, 16, 1)
        except TimeoutError as error:
            raise LabError(f"the vantage '{vantage}' could not be entered") from error
        return socket.socket(fileno=descriptors[0]) if descriptors else None


def main() -> None:
    """Inside: listen, and hand the descriptor out."""
    channel, port = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
    with channel, socket.create_server(("127.0.0.1", port), backlog=256) as listener:
        socket.send_fds(channel, [b"listener"], [listener.fileno()])


if __name__ == "__main__":
    main()
