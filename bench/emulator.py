"""An emulated net in a private network namespace: compiled, started, and gone when you leave.

By hand, for anyone who needs something to measure::

    python -m bench.emulator --hops 12 -- ping -c 3 10.201.0.1
    python -m bench.emulator --hops 8-20 --ecmp 4 --silent-routers 0.12 --loss 0.005 --limit 1 -- bash
    python -m bench.emulator --show-path 10.201.0.7

Inside the namespace the targets are 10.201.0.0/16 and fd00:201::/112, the prober is 10.200.0.1 and
fd00:200::1, routers answer from 11.0.0.0/8 and fd00:202::/104. Targets answer echo, UDP (port unreachable) and
TCP SYN (80 and 443 open, else reset). Needs root (or `unshare -rn`), /dev/net/tun, `ip` and a C compiler.

Nothing outlives the process: the namespace is anonymous and router.c dies with its parent, also after kill -9.
"""

import argparse
import contextlib
import ctypes
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.net import SOURCE4, SOURCE6, Net

HERE = Path(__file__).parent
CLONE_NEWNET = 0x40000000
QUEUE_PACKETS = 20_000
OUR_MAC, GATEWAY_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
GATEWAY4, GATEWAY6 = "10.200.0.254", "fd00:200::fe"
_libc = ctypes.CDLL(None, use_errno=True)


class Unavailable(Exception):
    """This host cannot run the emulator; the text says what is missing."""


def compiled(source: str = "router.c") -> Path:
    """One of the benchmarks' C programs, compiled once for each version of its source."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise Unavailable("the benchmarks need a C compiler (apt install gcc libc6-dev)")
    text = HERE / source
    name = f"{text.stem}-{hashlib.sha256(text.read_bytes()).hexdigest()[:16]}"
    folder = Path(tempfile.gettempdir()) / f"nettrace-bench-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise Unavailable(f"{folder} belongs to somebody else")
    program = folder / name
    if not program.exists():
        fresh = folder / f"{name}.{os.getpid()}"
        subprocess.run([compiler, "-O2", "-o", fresh, text], check=True)
        fresh.rename(program)
    return program


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder for the length of the block; those of runs that were killed are removed on the way."""
    place = Path(tempfile.gettempdir())
    for left in place.glob("nettrace-bench-run-*"):
        if not Path(f"/proc/{left.name.split('-')[3]}").exists():
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"nettrace-bench-run-{os.getpid()}-", dir=place) as name:
        folder = Path(name)
        folder.chmod(0o755)  # programs that give up their rights read it too
        yield folder


def run_ip(*words: str) -> None:
    """Run `ip` in the current namespace."""
    subprocess.run(["ip", *words], check=True)


def enter_new_namespace() -> None:
    """Move this thread into a network namespace of its own, loopback up."""
    if _libc.unshare(CLONE_NEWNET) != 0:
        raise Unavailable(f"no network namespace of our own: {os.strerror(ctypes.get_errno())} (needs root)")
    run_ip("link", "set", "lo", "up")


class Namespace:
    """A private network namespace for the calling thread, left again at the end of the block."""

    def __enter__(self) -> Self:
        self._outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        enter_new_namespace()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if _libc.setns(self._outside, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "cannot return to the namespace we came from")
        os.close(self._outside)


class Emulator(Namespace):
    """The net behind device nt0 of a fresh namespace; `statistics` is there after the block.

    Args:
        net: what to emulate.
        cpu: the CPU it is pinned to, None for any.
        ethernet: a TAP device with addresses and a gateway, for tools that need a link layer; else a TUN.
        busy: spin while packets are under way (precise, takes that CPU) instead of sleeping in between.
    """

    device = "nt0"

    def __init__(self, net: Net, cpu: int | None = 1, *, busy: bool = True, ethernet: bool = False) -> None:
        self.net = net
        self.ethernet = ethernet
        self.cpu = cpu if cpu is not None and cpu < (os.cpu_count() or 1) else None
        self.busy = busy
        self.statistics: dict[str, int] = {}
        self.pid = 0

    def __enter__(self) -> Self:
        program = compiled()
        super().__enter__()
        try:
            self._router = start_router(program, "net", *self.net.parameters(), **self._placing())
            self.pid = self._router.pid
            if self.ethernet:
                configure_ethernet(self.device, SOURCE4, SOURCE6)
            else:
                configure(self.device, SOURCE4, SOURCE6)
        except BaseException:
            super().__exit__(None, None, None)
            raise
        return self

    def permit_ping(self) -> None:
        """Let everyone use ICMP datagram sockets here, as distributions do."""
        Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 2147483647")

    def _placing(self) -> dict[str, int]:
        cpu = -1 if self.cpu is None else self.cpu
        return {"busy": int(self.busy), "cpu": cpu, "tap": int(self.ethernet)}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.statistics = stop_router(self._router)
        super().__exit__(kind, error, trace)


def start_router(program: Path, mode: str, *words: str, **more: int) -> subprocess.Popen[str]:
    """Start router.c in the current namespace and wait until its devices exist."""
    command = [str(program), mode, *words, *(f"{name}={value}" for name, value in more.items())]
    router = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    if router.stdout is None or router.stdout.readline() != "ready\n":
        router.kill()
        router.wait()
        raise Unavailable("the benchmarks' router could not start (its message stands above)")
    return router


def stop_router(router: subprocess.Popen[str]) -> dict[str, int]:
    """End it and return what it counted."""
    router.terminate()
    try:
        out, _ = router.communicate(timeout=5)
    except subprocess.TimeoutExpired:
        router.kill()
        out, _ = router.communicate()
    return json.loads(out) if out.strip() else {}


def configure(device: str, address4: str, address6: str) -> None:
    """Give a device its addresses and make it the way to everywhere."""
    run_ip("link", "set", device, "txqueuelen", str(QUEUE_PACKETS), "up")
    run_ip("addr", "add", f"{address4}/24", "dev", device)
    run_ip("addr", "add", f"{address6}/64", "dev", device, "nodad")
    run_ip("route", "add", "default", "dev", device)
    run_ip("-6", "route", "add", "default", "dev", device)


def configure_ethernet(device: str, address4: str, address6: str) -> None:
    """The same for a device with a link layer: fixed addresses, a gateway that need not be asked for."""
    run_ip("link", "set", device, "address", OUR_MAC, "txqueuelen", str(QUEUE_PACKETS), "up")
    run_ip("addr", "add", f"{address4}/24", "dev", device)
    run_ip("addr", "add", f"{address6}/64", "dev", device, "nodad")
    for family, gateway in (("-4", GATEWAY4), ("-6", GATEWAY6)):
        run_ip(family, "neigh", "add", gateway, "lladdr", GATEWAY_MAC, "nud", "permanent", "dev", device)
        run_ip(family, "route", "add", "default", "via", gateway, "dev", device)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.emulator", description=__doc__.split("\n\n")[0])
    parser.add_argument("--hops", default="12", help="path length, or MIN-MAX")
    parser.add_argument("--hop-us", type=float, default=2000.0, help="round-trip time of each hop")
    parser.add_argument("--ecmp", type=int, default=1)
    parser.add_argument("--fan-bits", type=int, default=2, help="15: every target has its own routers")
    parser.add_argument("--silent-routers", type=float, default=0.0)
    parser.add_argument("--silent-targets", type=float, default=0.0)
    parser.add_argument("--loss", type=float, default=0.0)
    parser.add_argument("--jitter-us", type=float, default=0.0)
    parser.add_argument("--limit", type=float, default=0.0, help="ICMP errors/s of each router, burst 6")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cpu", type=int, default=1)
    parser.add_argument("--ethernet", action="store_true", help="a TAP device instead of a TUN")
    parser.add_argument("--sleep", action="store_true", help="sleep between packets instead of spinning")
    parser.add_argument("--targets", type=int, metavar="N", help="only print the first N targets")
    parser.add_argument("--show-path", metavar="ADDRESS", help="only print what may answer at each TTL")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="-- COMMAND ...")
    return parser


def main() -> int:
    """Run a command inside an emulated net; exits as the command does."""
    given = _arguments().parse_args()
    low, _, high = given.hops.partition("-")
    net = Net(
        seed=given.seed,
        hops_min=int(low),
        hops_max=int(high or low),
        hop_us=given.hop_us,
        ecmp=given.ecmp,
        fan_bits=given.fan_bits,
        silent_routers=given.silent_routers,
        silent_targets=given.silent_targets,
        loss=given.loss,
        jitter_us=given.jitter_us,
        limit_per_s=given.limit,
    )
    if given.targets:
        print("\n".join(net.targets(given.targets)))
        return 0
    if given.show_path:
        for ttl, addresses in enumerate(net.choices(given.show_path), 1):
            print(f"{ttl:3} {' '.join(sorted(addresses)) or '*'}")
        end = given.show_path if net.answers(given.show_path) else "*"
        print(f"{net.length(given.show_path):3} {end}")
        return 0
    command = given.command[1:] if given.command[:1] == ["--"] else given.command
    emulator = Emulator(net, given.cpu, busy=not given.sleep, ethernet=given.ethernet)
    try:
        with emulator:
            code = subprocess.run(command or ["bash"], check=False).returncode
    except Unavailable as problem:
        sys.exit(f"bench.emulator: {problem}")
    print(f"emulator: {emulator.statistics}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
