"""The user-space router: packets from the namespaces' devices, held back until their deadline, delivered.

One thread, one heap. It sleeps in select (microsecond timeouts) until shortly before the next deadline and
polls over the last stretch, so a delivery is late by microseconds while an idle lab costs next to nothing.
"""

import contextlib
import gc
import os
import socket
import time
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from select import select

import msgspec

from nettrace.lab.devices import Wire
from nettrace.lab.forwarding import Forwarder
from nettrace.lab.namespaces import name_process, wake_on_time
from nettrace.lab.paths import Paths
from nettrace.lab.routing import Conditions, Routes, Tree
from nettrace.lab.topology import Topology

_LEAST_POLL_NS, _MOST_POLL_NS = 60_000, 500_000
"""Bounds of how long before a deadline sleeping ends and polling begins; between them it follows how late this
machine wakes us: up at once, down by a hundredth a wake-up."""

_BATCH = 24
"""Packets read from one device before the heap and the other devices are looked at again."""
_NEVER_S = 3600.0


class Order(msgspec.Struct, frozen=True):
    """From the supervisor: routes to use from now on."""

    conditions: Conditions
    trees: tuple[tuple[tuple[int, ...], bytes, bytes], ...]


class Figures(msgspec.Struct, frozen=True):
    """What the router has done so far, and how precisely.

    Attributes:
        late_us: delivery behind its deadline, in microseconds, over the last deliveries: p50, p99 and most.
    """

    delivered: int
    expired: int
    lost: int
    silent: int
    throttled: int
    refused: int
    untaken: int
    waiting: int
    late_us: tuple[float, float, float]


def order_of(routes: Routes) -> bytes:
    """Routes as bytes for the router's control socket."""
    trees = tuple(
        (goals, tree.offsets.tobytes(), tree.links.tobytes()) for goals, tree in routes.trees.items()
    )
    return msgspec.msgpack.encode(Order(routes.conditions, trees))


def routes_of(topology: Topology, order: Order) -> Routes:
    """The routes an order carries."""
    routes = Routes(topology, order.conditions)
    for goals, offsets, links in order.trees:
        routes.trees[goals] = Tree.of(offsets, links)
    return routes


class UserSpaceRouter:
    """Moves packets between ports (see `forwarding`)."""

    def __init__(
        self, topology: Topology, routes: Routes, wires: dict[str, Wire], control: socket.socket
    ) -> None:
        self.topology = topology
        self.forwarder = Forwarder(Paths(routes), topology.world.seed)
        self._wires = wires
        self._control = control
        self._heap: list[tuple[int, int, Callable[[bytes], None], bytes]] = []
        self._order = count()
        self._late = [0] * 4096
        self._deliveries = 0
        self._untaken = 0

    def run(self) -> None:
        """Route until the process ends."""
        name_process("lab-router")
        self.forwarder.warm()
        gc.collect()
        gc.freeze()
        gc.disable()  # no cycles are made below; a collection would delay packets by milliseconds
        wake_on_time(real_time=True)
        readers = {wire.descriptor: wire.read for wire in self._wires.values()}
        descriptors = [self._control.fileno(), *readers]
        poll_ns = _MOST_POLL_NS
        while True:
            due = self._flush()
            wake_at = due - poll_ns
            wait_ns = wake_at - time.monotonic_ns()
            if due and wait_ns <= 0:
                ready, _, _ = select(descriptors, (), (), 0)
            else:
                ready, _, _ = select(descriptors, (), (), wait_ns / 1e9 if due else _NEVER_S)
                if not ready:
                    late_ns = time.monotonic_ns() - wake_at
                    poll_ns = min(
                        _MOST_POLL_NS, max(_LEAST_POLL_NS, late_ns + late_ns // 4, poll_ns * 99 // 100)
                    )
            for descriptor in ready:
                if descriptor == descriptors[0]:
                    self._obey()
                else:
                    self._take(readers[descriptor])

    def _flush(self) -> int:
        """Deliver what is due; returns the next deadline or 0."""
        heap = self._heap
        while heap:
            due = heap[0][0]
            now = time.monotonic_ns()
            if due > now:
                return due
            _, _, write, packet = heappop(heap)
            try:
                write(packet)
            except OSError:
                self._untaken += 1
            self._late[self._deliveries & 4095] = now - due
            self._deliveries += 1
        return 0

    def _take(self, read: Callable[[], tuple[bytes, int] | None]) -> None:
        heap, wires, handle = self._heap, self._wires, self.forwarder.handle
        for _ in range(_BATCH):
            taken = read()
            if taken is None:
                return
            for due, port, made in handle(*taken):
                heappush(heap, (due, next(self._order), wires[port].write, made))
            if heap and heap[0][0] <= time.monotonic_ns():
                self._flush()

    def _obey(self) -> None:
        data, descriptors, _, _ = socket.recv_fds(self._control, 64, 1)
        if not data:
            os._exit(0)
        for descriptor in descriptors:
            with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor has no path
                order = msgspec.msgpack.decode(file.read(), type=Order)
            self.forwarder.reroute(Paths(routes_of(self.topology, order)))
        with contextlib.suppress(OSError):
            self._control.send(msgspec.json.encode(self._figures()))

    def _figures(self) -> Figures:
        counters = self.forwarder.counters
        late = sorted(self._late[: min(self._deliveries, 4096)]) or [0]
        late_us = tuple(late[int((len(late) - 1) * share)] / 1000 for share in (0.5, 0.99, 1.0))
        return Figures(
            delivered=counters.delivered,
            expired=counters.expired,
            lost=counters.lost,
            silent=counters.silent,
            throttled=counters.throttled,
            refused=counters.refused,
            untaken=self._untaken,
            waiting=len(self._heap),
            late_us=(late_us[0], late_us[1], late_us[2]),
        )
