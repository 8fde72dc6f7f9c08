"""The courier process: holds the rules against what is stored, and carries every notice until it has arrived.

`python -m nettrace.hub.courier --data DIR`. It reads the store and writes through the writer's socket. A delivery is in
the store before the first attempt and is marked only after a receipt, so a kill at any moment repeats at most one
attempt, under the same id. Channels do not wait for each other.
"""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

import click
import msgspec

from nettrace.analysis.alerts.rule import ChannelSpec, RuleBook, seconds
from nettrace.errors import ConfigError, NetTraceError
from nettrace.hub.alerting import FILE, Alerting, BookFile, Stepped, deliveries_of
from nettrace.hub.link import HubWriter, WriterLink
from nettrace.hub.open import folder_of, open_reader
from nettrace.hub.place import Data
from nettrace.hub.shelf import books, mark
from nettrace.model.alert import AlertStep, Delivery, DeliveryState, Incident, Notice, NoticeKind, Order
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.signal import Severity
from nettrace.outside.notify.channel import Fate, Receipt, deliver
from nettrace.outside.notify.message import Message
from nettrace.runtime.logs import Log
from nettrace.store.embedded.database import Lock
from nettrace.store.port import StoreReader

GONE_MOST, FAILING_NS = 3, 5 * 86_400 * NS_PER_S
"""A channel that says 410 so often in a row, or fails for so long, is not asked any more, and the others are told."""
_TURN_S, _MOST_WAIT_S = 1.0, 86_400.0
_HEALTH = "channel "
_TOGETHER = 1000


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How a channel is. `spec` is a digest of its configuration: with another one it begins anew."""

    spec: str
    failing_since: Instant | None = None
    gone: int = 0
    disabled_at: Instant | None = None
    why: str = ""


class Outbox:
    """What is decided about deliveries, without any network: when to try, what a receipt means, who is disabled.

    Args:
        schedule_s: how long after each failed attempt the next one comes, before it is stretched by up to a fifth.
        spread: 0 to 1, at random: retries of many hubs do not come together.
    """

    def __init__(self, schedule_s: Sequence[float], spread: Callable[[], float] = random.random) -> None:
        self._schedule = tuple(schedule_s)
        self._spread = spread

    def after(self, delivery: Delivery, receipt: Receipt, now: Instant) -> Delivery:
        """The delivery after an attempt."""
        tried = msgspec.structs.replace(delivery, attempts=delivery.attempts + 1, problem=receipt.detail)
        if receipt.fate is Fate.DELIVERED:
            return msgspec.structs.replace(tried, state=DeliveryState.DELIVERED, delivered_at=now, problem="")
        if tried.attempts > len(self._schedule):
            return msgspec.structs.replace(tried, state=DeliveryState.FAILED)
        wait_s = self._schedule[tried.attempts - 1] * (1 + 0.2 * self._spread())
        wait_s = max(wait_s, min(receipt.retry_after_s or 0.0, _MOST_WAIT_S))
        return msgspec.structs.replace(tried, next_at=now + round(wait_s * NS_PER_S))

    def health(self, was: Health, receipt: Receipt, now: Instant) -> Health:
        """The channel after an attempt."""
        if receipt.fate is Fate.DELIVERED:
            return Health(spec=was.spec)
        since = now if was.failing_since is None else was.failing_since
        gone = was.gone + 1 if receipt.fate is Fate.GONE else 0
        is_over = gone >= GONE_MOST or now - since > FAILING_NS
        return Health(
            spec=was.spec,
            failing_since=since,
            gone=gone,
            disabled_at=now if is_over else None,
            why=receipt.detail,
        )


class Courier:
    """One hub's courier."""

    def __init__(self, data: Data, link: WriterLink, log: Log) -> None:
        self._data = data
        self._link = link
        self._log = log
        self._file = BookFile(data.folder / FILE)
        self._reader: StoreReader | None = None
        self._alerting: dict[str | None, Alerting] = {}
        self._shelves: dict[str, RuleBook] = {}
        self._shelves_at = -1
        self._health: dict[str, Health] = {}
        self._carrying: dict[str, asyncio.Task[None]] = {}
        self._carried: set[str] = set()
        self._store_thread = ThreadPoolExecutor(1, "store")
        self._threads = ThreadPoolExecutor(16, "channel")

    async def run(self, ended: asyncio.Event) -> None:
        """Work until `ended`; attempts under way are waited for, a second at most."""
        said = ""
        while not ended.is_set():
            try:
                await self._turn()
                said = ""
            except NetTraceError as error:
                if said != str(error):  # once, not once a second
                    said = str(error)
                    self._log.say("courier.waits", error=said)
                await self._begin_anew()
            with suppress(TimeoutError):
                async with asyncio.timeout(_TURN_S):
                    await ended.wait()
        if self._carrying:
            await asyncio.wait(self._carrying.values(), timeout=1.0)
        await self._begin_anew()
        await self._link.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _begin_anew(self) -> None:
        """Know what the store knows, and nothing else: what could not be stored never happened."""
        reader, self._reader, self._alerting, self._shelves_at = self._reader, None, {}, -1
        if reader is not None:
            await self._in_store(reader.close)

    async def _in_store(self, call: Callable[[], object]) -> object:
        return await asyncio.get_running_loop().run_in_executor(self._store_thread, call)

    async def _turn(self) -> None:
        try:
            changed = self._file.refresh()
        except ConfigError as error:
            changed = False
            self._log.say("rules.refused", error=str(error))
        own = self._file.book
        if own is None:
            return
        pending: list[Delivery] = []
        steps: list[Stepped] = []

        def look() -> None:
            if self._reader is None:
                self._reader = open_reader(self._data)
                self._health = _healths(self._reader)
            if None not in self._alerting:
                self._alerting[None] = Alerting(self._reader, own)
            elif changed:
                self._alerting[None].use(own)
            self._read_shelves(self._reader)
            now = time.time_ns()
            steps.extend(each.step(now) for each in self._alerting.values())

        await self._in_store(look)
        for step in steps:
            await self._keep(step)
        book = self._with_shelves(own)
        reader = self._reader
        self._carried.clear()  # what is carried from here on is read as if it still waited
        if reader is not None:
            await self._in_store(
                lambda: pending.extend(reader.deliveries(states=(DeliveryState.PENDING,), limit=_TOGETHER))
            )
        self._start(pending, book, time.time_ns())

    def _read_shelves(self, reader: StoreReader) -> None:
        """Take up what accounts changed; rules that cannot be read leave the old ones in force."""
        version = reader.targets_version()
        if version == self._shelves_at:
            return
        self._shelves_at = version
        for account, book in books(reader.settings(), self._data.secrets).items():
            if isinstance(book, ConfigError):
                self._log.say("rules.refused", account=account, error=str(book))
            elif account not in self._alerting:
                self._shelves[account] = book
                self._alerting[account] = Alerting(reader, book, account)
            elif book != self._shelves.get(account):
                self._shelves[account] = book
                self._alerting[account].use(book)

    def _with_shelves(self, book: RuleBook) -> RuleBook:
        """The hub's own rules with the channels of every account beside its own."""
        theirs = {
            f"{name}~{mark(account)}": spec
            for account, shelf in self._shelves.items()
            for name, spec in shelf.channel.items()
        }
        return msgspec.structs.replace(book, channel={**book.channel, **theirs})

    async def _keep(self, stepped: Stepped) -> None:
        for request in stepped.requests:
            await self._link.call(HubWriter.put_request, request)
        if stepped.step is not None:
            await self._link.call(HubWriter.put_alerts, stepped.step)
            for incident in stepped.step.incidents:
                self._log.say("incident", id=incident.id, state=incident.state, cause=incident.cause)
        for order in stepped.orders:
            await self._obey(order)

    async def _obey(self, order: Order) -> None:
        if order.action == "replay":
            found: list[Delivery | None] = []
            reader = self._reader
            if reader is not None:
                await self._in_store(lambda: found.append(reader.delivery(order.subject)))
            for delivery in (each for each in found if each is not None):
                again = msgspec.structs.replace(
                    delivery, state=DeliveryState.PENDING, attempts=0, next_at=order.at, problem=""
                )
                await self._link.call(HubWriter.put_alerts, AlertStep(deliveries=(again,)))
        elif order.action == "enable" and order.subject in self._health:
            health = Health(spec=self._health[order.subject].spec)
            await self._note(order.subject, health)

    def _start(self, pending: Sequence[Delivery], book: RuleBook, now: Instant) -> None:
        """Begin with each free channel's deliveries that are due, oldest first."""
        due: dict[str, list[Delivery]] = {}
        for delivery in pending:
            name = delivery.channel
            if delivery.next_at <= now and name in book.channel and delivery.id not in self._carried:
                due.setdefault(name, []).append(delivery)
        for name, waiting in due.items():
            if name not in self._carrying and self._health_of(name, book.channel[name]).disabled_at is None:
                task = asyncio.create_task(self._carry_all(waiting, book))
                self._carrying[name] = task
                task.add_done_callback(lambda _, name=name: self._carrying.pop(name, None))

    async def _carry_all(self, waiting: Sequence[Delivery], book: RuleBook) -> None:
        """One after the other, until one fails: while a channel is out, each turn asks it once."""
        for delivery in waiting:
            if not await self._carry(delivery, book):
                return

    async def _carry(self, delivery: Delivery, book: RuleBook) -> bool:
        name, spec = delivery.channel, book.channel[delivery.channel]
        message = Message(id=delivery.id, document=msgspec.json.decode(delivery.body))
        loop = asyncio.get_running_loop()
        try:
            receipt = await loop.run_in_executor(self._threads, deliver, name, spec, message, time.time_ns())
        except Exception as error:  # a library's own fault is a failed attempt, and the other channels go on
            receipt = Receipt(fate=Fate.FAILED, detail=type(error).__name__)
        now = time.time_ns()
        outbox = Outbox([seconds(text) for text in book.retry])
        after = outbox.after(delivery, receipt, now)
        was = self._health_of(name, spec)
        health = outbox.health(was, receipt, now)
        if receipt.fate is not Fate.DELIVERED:
            self._log.say(
                "delivery.failed", id=delivery.id, channel=name, attempts=after.attempts, why=receipt.detail
            )
        self._carried.add(delivery.id)
        with suppress(NetTraceError):  # not noted: it is carried again, under the same id
            await self._link.call(HubWriter.put_alerts, AlertStep(deliveries=(after,)))
            if health != was:
                await self._note(name, health)
            if was.failing_since is not None and health.failing_since is None:
                await self._hurry(name, now)
            if health.disabled_at is not None:
                await self._tell_disabled(name, health, book)
        return receipt.fate is Fate.DELIVERED

    async def _hurry(self, name: str, now: Instant) -> None:
        """The channel is back: what waits for its next attempt need not wait any longer."""
        found: list[Delivery] = []
        reader = self._reader
        if reader is not None:
            await self._in_store(
                lambda: found.extend(reader.deliveries(states=(DeliveryState.PENDING,), limit=_TOGETHER))
            )
        due = tuple(msgspec.structs.replace(each, next_at=now) for each in found if each.channel == name)
        await self._link.call(HubWriter.put_alerts, AlertStep(deliveries=due))

    async def _tell_disabled(self, name: str, health: Health, book: RuleBook) -> None:
        self._log.say("channel.disabled", channel=name, why=health.why)
        now = health.disabled_at or 0
        whose = name.partition("~")[2]
        others = tuple(each for each in book.channel if each != name and each.partition("~")[2] == whose)
        incident = Incident(
            id="inc_" + blake2b(f"channel {name} {now}".encode(), digest_size=10).hexdigest(), cause=f"channel:{name}",
            severity=Severity.CRITICAL, rules=(), since=health.failing_since or now, opened_at=now,
        )  # fmt: skip
        notice = Notice(kind=NoticeKind.CHANNEL_DISABLED, at=now, incident=incident, channels=others)
        detail = f"Nothing is sent to {name} any more: {health.why}. Then: nettrace alerts enable {name}"
        await self._link.call(
            HubWriter.put_alerts, AlertStep(deliveries=tuple(deliveries_of(notice, (), now, detail)))
        )

    def _health_of(self, name: str, spec: ChannelSpec) -> Health:
        digest = blake2b(msgspec.json.encode(spec), digest_size=8).hexdigest()
        known = self._health.get(name)
        if known is None or known.spec != digest:
            known = self._health[name] = Health(spec=digest)
        return known

    async def _note(self, name: str, health: Health) -> None:
        self._health[name] = health
        await self._link.call(
            HubWriter.put_alerts, AlertStep(state={_HEALTH + name: msgspec.msgpack.encode(health)})
        )


def _healths(reader: StoreReader) -> dict[str, Health]:
    return {
        name.removeprefix(_HEALTH): msgspec.msgpack.decode(value, type=Health)
        for name, value in reader.alert_state().items()
        if name.startswith(_HEALTH)
    }


async def run(data: Data, log: Log) -> None:
    """Be the courier of a data folder until a signal says to end."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    log.say("courier.ready", folder=str(data.folder))
    await Courier(data, WriterLink(data.socket), log).run(ended)
    log.say("courier.ended")


@click.command()
@click.option("--data", "folder", type=click.Path(path_type=Path, file_okay=False), default=None)
def main(folder: Path | None) -> None:
    """Hold a hub's rules against what it stores, and carry what they say. Runs beside the writer."""
    data, log = folder_of(folder), Log("courier")
    try:
        lock = Lock(data.folder / "courier.lock")
        asyncio.run(run(data, log))
        lock.release()
    except NetTraceError as error:
        log.say("courier.refused", error=str(error))
        sys.exit(error.exit_code)
    sys.stdout.flush()
    os._exit(
        0
    )  # an attempt that hangs in a thread must not hold up the end; what it carries is carried again


if __name__ == "__main__":
    main()
