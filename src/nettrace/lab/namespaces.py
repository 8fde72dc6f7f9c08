"""Namespaces without names: they live as long as the processes and descriptors of the lab, and no longer.

Nothing is mounted under /run/netns, so there is nothing to clean up after a crash: when the lab's processes
are gone, the kernel takes the namespaces, their links and routes with them.
"""

import ctypes
import os
import signal
from contextlib import suppress
from pathlib import Path

from nettrace.errors import LabError

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
_MS_REC, _MS_PRIVATE, _MS_BIND = 0x4000, 1 << 18, 4096
_PR_SET_PDEATHSIG, _PR_SET_TIMERSLACK, _PR_SET_NAME = 1, 29, 15
_HASTE = -15
_MCL_CURRENT, _MCL_FUTURE = 1, 2
_CAP_NET_ADMIN, _CAP_SYS_ADMIN = 12, 21

_libc = ctypes.CDLL(None, use_errno=True)


def may_make_namespaces() -> bool:
    """True when this process may make network namespaces without a user namespace around them."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("CapEff:"):
            held = int(line.split()[1], 16)
            return bool(held >> _CAP_SYS_ADMIN & 1 and held >> _CAP_NET_ADMIN & 1)
    return False


def become_root_of_own_namespace() -> None:
    """Enter a new user namespace in which this user is root: rights over our own networks, and nothing else.

    Raises:
        LabError: when this system forbids it, with what to change.
    """
    uid, gid = os.geteuid(), os.getegid()
    try:
        unshare(CLONE_NEWUSER)
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1", encoding="ascii")
    except OSError as error:
        raise LabError(
            f"this system does not let user {uid} make a user namespace ({error.strerror})", _what_to_change()
        ) from error


def unshare(flags: int) -> None:
    """Leave the named kinds of namespaces for new ones."""
    if _libc.unshare(flags):
        raise _os_error("unshare")


def new_network() -> int:
    """Enter a network namespace just made; returns the descriptor that keeps it alive.

    Raises:
        LabError: when this system forbids it, with what to change.
    """
    try:
        unshare(CLONE_NEWNET)
    except OSError as error:
        raise LabError(
            f"this system does not let us make network namespaces ({error.strerror})",
            "Run as root, or in a container allow CAP_SYS_ADMIN and unshare",
        ) from error
    return os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def enter(descriptor: int, kind: int) -> None:
    """Join the namespace behind a descriptor."""
    if _libc.setns(descriptor, kind):
        raise _os_error("setns")


def current_user() -> int:
    """A descriptor of the user namespace this process is in."""
    return os.open("/proc/self/ns/user", os.O_RDONLY | os.O_CLOEXEC)


def make_mounts_private() -> None:
    """Enter a mount namespace whose changes nobody else sees."""
    unshare(CLONE_NEWNS)
    if _libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None):
        raise _os_error("mount")


def bind_file(source: Path, over: Path) -> None:
    """Show one file in another's place, in this mount namespace."""
    if _libc.mount(os.fsencode(source), os.fsencode(over.resolve()), None, _MS_BIND, None):
        raise _os_error(f"mount over {over}")


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when the one that started it dies, however it dies."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died between the fork and the call
        os.kill(os.getpid(), signal.SIGKILL)


def name_process(name: str) -> None:
    """Show this name in `ps` (at most 15 bytes)."""
    _libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def wake_on_time(*, real_time: bool) -> None:
    """Timers without the kernel's slack; pages that stay, and priority, where permitted.

    A process whose pages are reclaimed stands still for tens of milliseconds at the next packet.
    """
    _libc.prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    _libc.mlockall(_MCL_CURRENT | _MCL_FUTURE)
    with suppress(OSError):
        if real_time:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        else:
            os.setpriority(os.PRIO_PROCESS, 0, _HASTE)


def set_sysctl(name: str, value: str) -> bool:
    """Set a kernel setting of the current network namespace; false where the system does not let us."""
    try:
        Path("/proc/sys", *name.split("/")).write_text(value, encoding="ascii")
    except OSError:
        return False
    return True


def _os_error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), what)


def _what_to_change() -> str:
    for name, wanted, command in (
        ("kernel/unprivileged_userns_clone", "1", "sysctl -w kernel.unprivileged_userns_clone=1"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "0",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ):
        with suppress(OSError):
            if Path("/proc/sys", name).read_text(encoding="ascii").strip() != wanted:
                return f"As root: {command}; or run the lab as root"
    with suppress(OSError):
        if Path("/proc/sys/user/max_user_namespaces").read_text(encoding="ascii").strip() == "0":
            return "As root: sysctl -w user.max_user_namespaces=10000; or run the lab as root"
    return (
        "In a container, allow unshare: e.g. `docker run --security-opt seccomp=unconfined`, or --privileged; "
        "or run the lab as root"
    )
