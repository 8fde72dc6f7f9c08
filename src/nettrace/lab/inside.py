"""Commands inside a running lab: at a vantage, with the lab's name servers and its certificate authority."""

import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import msgspec

from nettrace.errors import LabError
from nettrace.lab import namespaces, state


def enter(home: Path, vantage: str) -> None:
    """Move this process, which must have a single thread, to a vantage of the lab in this folder.

    Everything it starts afterwards is there too. The lab kills whatever is inside when it ends.

    Raises:
        LabError: no lab, no such vantage, or this process may not enter.
    """
    with state.connect(home) as sock:
        sock.sendall(msgspec.json.encode({"op": "enter", "vantage": vantage}) + b"\n")
        answer, descriptors, _, _ = socket.recv_fds(sock, 65_536, 2)
    if not descriptors:
        complaint = msgspec.json.decode(answer or b"{}", type=dict[str, str])
        raise LabError(complaint.get("error", "the lab did not answer"))
    try:
        if len(descriptors) > 1:
            namespaces.enter(descriptors[1], namespaces.CLONE_NEWUSER)
        namespaces.enter(descriptors[0], namespaces.CLONE_NEWNET)
        namespaces.make_mounts_private()
        for name, over in state.SHADOWS.items():
            if over.exists():
                namespaces.bind_file(home / name, over)
    except OSError as error:
        raise LabError(
            f"cannot enter vantage '{vantage}' ({error.filename}: {error.strerror})",
            "Enter as the user who brought the lab up",
        ) from error
    finally:
        for descriptor in descriptors:
            with suppress(OSError):
                os.close(descriptor)
    for variable in ("SSL_CERT_FILE", "CURL_CA_BUNDLE"):
        os.environ[variable] = str(home / state.AUTHORITY)
    os.environ["NETTRACE_LAB"] = f"{home.name}:{vantage}"


def replace(home: Path, vantage: str, command: Sequence[str]) -> NoReturn:
    """Become a command at a vantage.

    Raises:
        LabError: as `enter`, or when there is no such program.
    """
    enter(home, vantage)
    try:
        os.execvp(command[0], list(command))  # noqa: S606 - no shell is wanted
    except OSError as error:
        raise LabError(f"cannot run {command[0]}: {error.strerror}") from error
