"""The supervising process of a lab: makes the namespaces, starts router and services, obeys, tears down."""

import asyncio
import gc
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from nettrace.errors import LabError, NetTraceError
from nettrace.lab import namespaces, state
from nettrace.lab.certificates import Authority
from nettrace.lab.forwarding import INTERNET
from nettrace.lab.networks import Networks
from nettrace.lab.router import UserSpaceRouter, order_of
from nettrace.lab.routing import Conditions, Routes
from nettrace.lab.services import Internet, Waits, waits_of
from nettrace.lab.tables import place_table, prefix_table
from nettrace.lab.topology import Topology
from nettrace.lab.world import Event
from nettrace.lab.worldfile import event_complaints, parse

_GRACE_S = 3.0


class Laboratory:
    """One lab, from nothing to nothing.

    Args:
        text: the world's TOML.
        home: the folder of its state.
        device: `auto`, `tun` or `veth`.
        unprivileged: use a user namespace even where it is not needed.
    """

    def __init__(self, text: str, home: Path, *, device: str = "auto", unprivileged: bool = False) -> None:
        self.text = text
        self.world = parse(text, home.name)
        self.topology = Topology(self.world)
        self.home = home
        self.unprivileged = unprivileged or not namespaces.may_make_namespaces()
        self.conditions = Conditions()
        self._networks = Networks(self.topology, device, unprivileged=self.unprivileged)
        self._claim = state.Claim(home)
        self._children: dict[int, str] = {}
        self._controls: dict[str, socket.socket] = {}
        self._ending = False

    def run(self, ready: Callable[[state.Status], None], *, until_eof: bool = False) -> None:
        """Bring the lab up, say so, and serve until a signal, `down`, or (on request) the end of stdin.

        Raises:
            LabError: when it cannot come up; nothing is left then.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        self._claim.take()
        guardian = state.Guardian(self.home)
        try:
            authority = Authority("NetTrace lab")
            self._write_files(authority)
            self._networks.make(guardian.note)
            routes = Routes(self.topology, self.conditions)
            routes.prepare()
            self._start_router(guardian, routes)
            self._start_services(guardian, authority, routes)
            listener = self._listen()
            ready(self.status())
            self._serve(listener, until_eof=until_eof)
        finally:
            self._end()
            self._claim.clean()
            guardian.release()

    def status(self) -> state.Status:
        """What this lab says of itself."""
        return state.Status(
            name=self.home.name,
            pid=os.getpid(),
            world=self.world.name,
            device=self._networks.device,
            unprivileged=self.unprivileged,
            vantages=tuple(self.topology.vantages),
            targets=len(self.topology.targets),
            conditions=self.conditions,
            notes=tuple(self._networks.notes),
        )

    def happen(self, event: Event) -> None:
        """Let an event happen: routes follow at once.

        Raises:
            LabError: when there is no such cable, network or site.
        """
        complaints = event_complaints(self.world, event)
        if complaints:
            raise LabError(complaints[0])
        self.conditions = self.conditions.after(event)
        routes = Routes(self.topology, self.conditions)
        routes.prepare()
        _send_bulk(self._controls["router"], order_of(routes))
        self._controls["router"].recv(65_536)
        _send_bulk(self._controls["services"], json.dumps(waits_of(routes)).encode())

    def _on_signal(self, *_: object) -> None:
        self._ending = True

    def _write_files(self, authority: Authority) -> None:
        resolver = self.topology.targets.get(self.world.resolver or "")
        servers = [socket.inet_ntop(socket.AF_INET, resolver.address4)] if resolver else []
        lines = [f"nameserver {server}\n" for server in servers] + ["options timeout:2 attempts:2\n"]
        for name, text in (
            (state.WORLD, self.text),
            (state.AUTHORITY, authority.certificate),
            (state.PREFIXES, prefix_table(self.topology)),
            (state.PLACES, place_table(self.topology)),
            ("resolv.conf", "".join(lines)),
            ("nsswitch.conf", "hosts: files dns\n"),
        ):
            (self.home / name).write_text(text, encoding="utf-8")

    def _start_router(self, guardian: state.Guardian, routes: Routes) -> None:
        wires = self._networks.wires

        def work(control: socket.socket) -> None:
            router = UserSpaceRouter(self.topology, routes, wires, control)
            control.send(b"ready")
            router.run()

        self._fork("router", guardian, work)
        for wire in wires.values():
            wire.close()

    def _start_services(self, guardian: state.Guardian, authority: Authority, routes: Routes) -> None:
        waits = waits_of(routes)

        def work(control: socket.socket) -> None:
            namespaces.name_process("lab-services")
            namespaces.wake_on_time(real_time=False)
            namespaces.enter(self._networks.spaces[INTERNET], namespaces.CLONE_NEWNET)
            asyncio.run(_serve_internet(Internet(self.topology, authority), waits, control))

        self._fork("services", guardian, work)

    def _fork(self, name: str, guardian: state.Guardian, work: Callable[[socket.socket], None]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        pid = os.fork()
        if not pid:
            code = 1
            try:
                namespaces.die_with_parent(parent)
                for number in (signal.SIGINT, signal.SIGHUP):
                    signal.signal(number, signal.SIG_IGN)
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                guardian.forget()
                self._claim.forget()
                ours.close()
                work(theirs)
                code = 0
            except BaseException as error:
                print(f"nettrace lab: {name}: {error!r}", file=sys.stderr)  # noqa: T201
            finally:
                os._exit(code)
        theirs.close()
        self._children[pid] = name
        self._controls[name] = ours
        ours.settimeout(30)
        if ours.recv(64) != b"ready":
            raise LabError(f"the lab's {name} did not start", "Its message stands above")

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        place = os.open(self.home, os.O_PATH | os.O_CLOEXEC)
        listener.bind(f"/proc/self/fd/{place}/{state.CONTROL}")
        os.close(place)
        listener.listen(64)
        return listener

    def _serve(self, listener: socket.socket, *, until_eof: bool) -> None:
        started = time.monotonic()
        planned = sorted(self.world.event, key=lambda event: event.at_s)
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        selector = selectors.DefaultSelector()
        selector.register(listener, selectors.EVENT_READ, "client")
        selector.register(reading, selectors.EVENT_READ, "signal")
        if until_eof:
            selector.register(0, selectors.EVENT_READ, "stdin")
        for pid in self._children:
            selector.register(os.pidfd_open(pid), selectors.EVENT_READ, "child")
        while not self._ending:
            wait = planned[0].at_s - (time.monotonic() - started) if planned else None
            if wait is not None and wait <= 0:
                self.happen(planned.pop(0))
                continue
            for key, _ in selector.select(wait):
                if key.data == "client":
                    self._talk(listener.accept()[0])
                elif key.data == "child":
                    raise LabError("the lab's router or services ended by themselves")
                elif key.data == "signal" or (key.data == "stdin" and not os.read(0, 4096)):
                    self._ending = self._ending or key.data == "stdin"
                    with suppress(BlockingIOError):
                        os.read(reading, 512)

    def _talk(self, client: socket.socket) -> None:
        """One request, one answer; a client that dawdles or talks nonsense hurts only itself."""
        with client, suppress(OSError):
            client.settimeout(2)
            data = b""
            while not data.endswith(b"\n") and len(data) < 65_536 and (more := client.recv(65_536)):
                data += more
            try:
                answer, descriptors = self._answer(msgspec.json.decode(data, type=dict[str, Any]))
            except (NetTraceError, msgspec.DecodeError) as error:
                answer, descriptors = msgspec.json.encode({"error": str(error)}), []
            if descriptors:
                socket.send_fds(client, [answer + b"\n"], descriptors)
            else:
                client.sendall(answer + b"\n")

    def _answer(self, request: dict[str, Any]) -> tuple[bytes, list[int]]:
        match request.get("op"):
            case "status":
                return msgspec.json.encode(self.status()), []
            case "event":
                self.happen(msgspec.convert(request.get("event"), Event))
                return msgspec.json.encode(self.status()), []
            case "figures":
                self._controls["router"].send(b"figures")
                return self._controls["router"].recv(65_536), []
            case "enter":
                name = str(request.get("vantage"))
                if name not in self.topology.vantages and name != INTERNET:
                    known = ", ".join(self.topology.vantages)
                    raise LabError(f"no vantage '{name}' in this lab", f"There are: {known}")
                own = [namespaces.current_user()] if self.unprivileged else []
                return b'{"entered":true}', [self._networks.spaces[name], *own]
            case "down":
                self._ending = True
                return b'{"down":true}', []
            case other:
                raise LabError(f"the lab does not know how to '{other}'")

    def _end(self) -> None:
        """Kill what we started and what runs inside, and wait for it."""
        inside = {os.fstat(descriptor).st_ino for descriptor in self._networks.spaces.values()}
        for pid in self._children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in self._children:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
        deadline = time.monotonic() + _GRACE_S
        while state.kill_inside(inside) and time.monotonic() < deadline:
            time.sleep(0.005)


def _send_bulk(control: socket.socket, data: bytes) -> None:
    """Hand over more than a message holds, by an anonymous file."""
    descriptor = os.memfd_create("order")
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
        socket.send_fds(control, [b"order"], [descriptor])
    finally:
        os.close(descriptor)


async def _serve_internet(internet: Internet, waits: Waits, control: socket.socket) -> None:
    internet.waits = waits
    await internet.start()
    ended = asyncio.Event()

    def obey() -> None:
        data, descriptors, _, _ = socket.recv_fds(control, 64, 1)
        if not data:
            ended.set()
        for descriptor in descriptors:
            with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor has no path
                loaded: dict[str, dict[str, list[Any]]] = json.load(file)
            internet.waits = {
                vantage: {name: (wait, site) for name, (wait, site) in seen.items()}
                for vantage, seen in loaded.items()
            }

    asyncio.get_running_loop().add_reader(control, obey)
    gc.collect()
    gc.freeze()  # certificates and zones live for ever: no collection looks at them again
    control.send(b"ready")
    await ended.wait()
