"""Rounds of packets without a task of their own: the same records, an end in any case, and nothing sent for nobody."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nettrace.errors import Forbidden
from nettrace.measure.probing.run import Aimed
from nettrace.measure.tracing.politeness import Limits, Rate
from nettrace.model.measurement import Method, Outcome, Reason
from nettrace.model.target import Endpoint, Role, RoundMethod, Series
from nettrace.node import names as names_module
from nettrace.node.driver import Driver, Ended
from nettrace.node.names import KEPT_S, LOOKUPS_AT_ONCE, Names, Refused
from nettrace.node.policy import NodePolicy
from nettrace.node.rounds import Flight, Job, Rounds
from nettrace.node.runner import SIDE_BY_SIDE, Runner, _plan
from nettrace.node.schedule import Due, Moment
from nettrace.node.spool import Entry
from nettrace.node.thrift import in_words
from nettrace.testing.simdriver import HostFaults, SimDriver
from nettrace.testing.simnet import SimNet, Site
from nettrace.testing.strategies import sites
from nettrace.wire.frames import Cadence, Record, Task

DUE = 1_767_225_600_000_000_000
OPEN = ["198.18.0.0/15"]
ADDRESSES = [f"198.18.0.{number}" for number in range(1, 7)]


class Simulated:
    """A driver that plays each machine to its end in a simulated internet of its own."""

    rate_pps = 1000.0
    busy = False

    def __init__(self, sites: list[Site], faults: HostFaults, seed: int) -> None:
        self._sites, self._faults, self._seed = sites, faults, seed

    def close(self) -> None:
        """It has no sockets."""

    def permits(self, method: Method, _address: str) -> str | None:
        return "forbidden here" if method is Method.UDP else None

    def traces_by(self, _address: str) -> Method:
        return Method.TCP

    def serial_ns(self, _method: Method, _address: str) -> int:
        return 0

    def begin(self, machine: Aimed, ended: Ended, _limit_s: float) -> None:
        SimDriver(SimNet(self._sites, self._seed), faults=self._faults, seed=self._seed).measure(machine)
        asyncio.get_running_loop().call_soon(ended, None)

    async def measure(self, machine: Aimed, limit_s: float) -> None:
        self.begin(machine, lambda _: None, limit_s)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Site], HostFaults, int]:
    made = [
        msgspec.structs.replace(
            draw(sites(6)),
            address=address,
            loss=draw(st.sampled_from((0.0, 0.3))),
            doubles=draw(st.sampled_from((0.0, 0.5))),
        )
        for address in ADDRESSES
    ]
    faults = HostFaults(
        refused=draw(st.sampled_from((0.0, 0.5))), stamp_missing=draw(st.sampled_from((0.0, 0.5)))
    )
    return made, faults, draw(st.integers(0, 1 << 30))


def job(host: str, method: RoundMethod, **more: object) -> Job:
    endpoint = Endpoint(name="rest", host=host, role=Role.API, port=443)
    return Job(target=host, endpoint=endpoint, method=method, due=DUE, probes=3, **more)


def recorded(world: tuple[list[Site], HostFaults, int], *, tasks: bool) -> list[bytes]:
    """The records of a ping and a trace to everybody, each in a task of its own or none of them."""
    out: list[Entry] = []

    async def live() -> None:
        runner = Runner("nyc", out.append)
        rounds = runner._rounds = Rounds(
            Simulated(*world), NodePolicy.of(open_networks=OPEN, opted_out=["198.18.0.6"]), "nyc"
        )
        if tasks:
            rounds.flight = lambda _: None
        for host in ADDRESSES:
            for method in (RoundMethod.ICMP, RoundMethod.UDP, RoundMethod.TRACE):
                runner._begin(job(host, method))
        assert bool(runner._running) is tasks
        await runner.stop(10.0)

    asyncio.run(live())
    records = [entry for entry in out if isinstance(entry, Record)]
    assert len(records) == 3 * len(ADDRESSES)
    for place, record in enumerate(records):
        if record.measurement.reason is Reason.NOT_PERMITTED:  # its moment is the wall's
            made = msgspec.structs.replace(record.measurement, at=DUE)
            records[place] = msgspec.structs.replace(record, measurement=made)
    return sorted(map(msgspec.json.encode, records))


@settings(max_examples=25, deadline=None)
@given(worlds())
def test_a_round_brings_the_same_record_with_a_task_of_its_own_and_without(
    world: tuple[list[Site], HostFaults, int],
) -> None:
    assert recorded(world, tasks=False) == recorded(world, tasks=True)


@pytest.fixture
async def driver() -> Iterator[Driver]:
    def failed(error: Exception) -> None:
        raise error

    driver = Driver(500.0, failed)
    yield driver
    driver.close()


async def test_a_flight_whose_time_is_up_hands_out_what_is_known_and_sends_no_more(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nettrace.node.driver.OVERDUE_EVERY_S", 0.0)
    rounds = Rounds(driver, NodePolicy.of(open_networks=["127.0.0.0/8"]), "nyc")
    flight = rounds.flight(job("127.0.0.1", RoundMethod.ICMP, spacing_s=60.0))
    assert isinstance(flight, Flight)
    over = asyncio.Event()
    driver.begin(flight.machine, lambda _: over.set(), 0.0)
    async with asyncio.timeout(10):
        await over.wait()
    assert not flight.machine.done
    assert len(flight.done().measurement.samples) <= 1
    assert driver.engine.unfinished == []


async def test_an_end_hands_out_flights_as_they_stand() -> None:
    out: list[Entry] = []
    runner = Runner("nyc", out.append)
    driver = Driver(500.0, lambda _: None)
    runner._rounds = Rounds(driver, NodePolicy.of(open_networks=["127.0.0.0/8"]), "nyc")
    runner._begin(job("127.0.0.1", RoundMethod.ICMP, spacing_s=60.0))
    assert runner._flying
    await runner.stop(0.0)
    [record] = [entry for entry in out if isinstance(entry, Record)]
    assert (record.measurement.vantage, record.measurement.outcome) == ("nyc", Outcome.NOT_MEASURED)
    assert driver.engine.unfinished == []


class Resolver:
    """Stands for the system's resolver, and for the clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.addresses, self.asked, self.now = ["198.18.0.1", "198.18.0.2"], 0, 100.0
        self.at_once = self.most_at_once = 0
        monkeypatch.setattr(names_module, "resolve", self.resolve)
        clock = SimpleNamespace(monotonic=lambda: self.now, time_ns=lambda: DUE)
        monkeypatch.setattr(names_module, "time", clock)

    async def resolve(self, host: str, **_: object) -> names_module.Resolution:
        self.asked += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        found = names_module.Resolution(host=host, addresses=tuple(self.addresses), at=DUE, via="system")
        if self.addresses:
            return found
        return msgspec.structs.replace(found, outcome=Outcome.FAILED, reason=Reason.DNS)


async def test_a_name_is_looked_up_again_when_its_answer_is_old_and_a_move_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolver, names, policy = Resolver(monkeypatch), Names(), NodePolicy.of(open_networks=OPEN)
    assert names.fresh("a.example", policy) is None
    answers = await asyncio.gather(*(names.pin("a.example", policy) for _ in range(50)))
    assert {address for address, _ in answers} == {"198.18.0.1"}
    assert resolver.asked == 1
    resolver.addresses = ["198.18.0.2", "198.18.0.3"]
    resolver.now += KEPT_S - 1
    kept = names.fresh("a.example", policy)
    assert kept is not None and kept[1].addresses == ("198.18.0.1", "198.18.0.2")
    resolver.now += 1
    assert names.fresh("a.example", policy) is None
    address, found = await names.pin("a.example", policy)
    assert (address, found.addresses) == ("198.18.0.2", ("198.18.0.2", "198.18.0.3"))


async def test_an_answer_that_was_kept_is_judged_by_the_policy_of_today(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Resolver(monkeypatch)
    names = Names()
    await names.pin("a.example", NodePolicy.of(open_networks=OPEN))
    for refusing in (
        NodePolicy.of(open_networks=OPEN, opted_out=["198.18.0.2/32"]),
        NodePolicy.of(open_networks=OPEN, opted_out=["a.example"]),
    ):
        with pytest.raises(Forbidden):
            names.fresh("a.example", refusing)


async def test_few_lookups_at_once_and_a_failed_one_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver, names, policy = Resolver(monkeypatch), Names(), NodePolicy.of(open_networks=OPEN)
    await asyncio.gather(*(names.pin(f"{number}.example", policy) for number in range(100)))
    assert (resolver.asked, resolver.most_at_once) == (100, LOOKUPS_AT_ONCE)
    resolver.addresses = []
    for asked in (101, 102):
        with pytest.raises(Refused):
            await names.pin("gone.example", policy)
        assert resolver.asked == asked


async def test_rounds_held_back_by_a_budget_say_so_and_are_counted(driver: Driver) -> None:
    out: list[Entry] = []
    runner = Runner("nyc", out.append)
    runner._rounds = Rounds(driver, NodePolicy.of(open_networks=["127.0.0.0/8"]), "nyc")
    driver.politeness.limits = Limits(network=Rate(0.001, 1))
    task = Task(
        target="t",
        endpoint=Endpoint(name="rest", host="127.0.0.1", role=Role.API),
        methods=(RoundMethod.ICMP,),
    )
    series = Series("nyc", "t", "rest", RoundMethod.ICMP)
    runner._plans = {series: _plan(task, RoundMethod.ICMP, Cadence(rtt_s=1.0, probes=1))}
    for number in range(SIDE_BY_SIDE + 1):
        runner._start(Due(series, DUE + number), Moment(0, DUE + number))
    for _ in range(2):
        driver.engine.step()
    driver.leave(next(iter(runner._flying)).machine)  # the first one got the only packet
    runner._land(next(iter(runner._flying)), None)
    for number in range(2):
        runner._start(Due(series, DUE + 10 + number), Moment(0, DUE + 10 + number))
    last = [entry for entry in out if isinstance(entry, Record)][-1].measurement
    assert last.reason is Reason.NOT_SCHEDULED
    assert "waiting for the budget of their network" in (last.detail or "")
    held = runner.held
    assert (held.waited["network"], held.unsent["network"]) == (SIDE_BY_SIDE - 1, 1)
    [words] = in_words(held, driver.politeness.limits, "the last minute")
    assert words.startswith(
        f"in the last minute {SIDE_BY_SIDE - 1} packets waited for the budget of their network"
    )
    assert "1 rounds were not made" in words
    assert in_words(held.since(held), driver.politeness.limits, "the last minute") == ()
    await runner.stop(0.0)
