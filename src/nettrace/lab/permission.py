"""Whether this user may bring up a lab here, found out without leaving anything behind."""

import os
from pathlib import Path

from nettrace.errors import LabError
from nettrace.lab.namespaces import CLONE_NEWNET, become_root_of_own_namespace, may_make_namespaces, unshare

TUN = Path("/dev/net/tun")


def lab_obstacle() -> LabError | None:
    """Why no lab can be brought up, or None. Tried in a child process, so this one stays where it is.

    Without `/dev/net/tun` a lab wires itself with veth pairs; only namespaces are indispensable.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            if not may_make_namespaces():
                become_root_of_own_namespace()
            unshare(CLONE_NEWNET)
        except LabError as problem:
            os.write(writing, f"{problem.detail}\n{problem.hint}".encode())
        except OSError as problem:
            os.write(
                writing, f"this system does not allow network namespaces ({problem.strerror})\n".encode()
            )
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    detail, _, hint = said.partition("\n")
    return LabError(detail, hint) if detail else None
