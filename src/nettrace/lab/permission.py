"""Whether a lab can be brought up here, found out by trying in a child that leaves nothing."""

import os

import msgspec

from nettrace.errors import LabError
from nettrace.lab import namespaces
from nettrace.lab.devices import VethHome, tun_permitted


def lab_obstacle() -> LabError | None:
    """What keeps this user from bringing a lab up here, with what to change; None when nothing does."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(reading)
            os.write(writing, msgspec.json.encode(_tried()))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        said = answer.read()
    os.waitpid(pid, 0)
    words = msgspec.json.decode(said, type=list[str]) if said else ["the attempt was killed"]
    return LabError(*words[:2]) if words else None


def _tried() -> list[str]:
    try:
        if not namespaces.may_make_namespaces():
            namespaces.become_root_of_own_namespace()
        home = namespaces.new_network()
        if not tun_permitted():
            namespaces.new_network()
            VethHome(home).connect(1500)
    except LabError as error:
        return [error.detail, error.hint]
    return []
