"""The one way in: only nodes of ours, only what is whole, never more than fits; and what a node is told."""

import asyncio
import zlib

import msgspec
import pytest
from tests.unit.hub.reports import NOW, record, report

from nettrace.errors import Conflict, NotAllowed, StoreFull, Unauthenticated, WireError
from nettrace.hub import ingest
from nettrace.hub.assignment import SETTING, Orders, cadence
from nettrace.hub.enrolment import make_token
from nettrace.hub.ingest import NodeDoors
from nettrace.hub.keys import ENROL, mint
from nettrace.hub.link import HubWriter
from nettrace.hub.tiers import Tiers
from nettrace.model.account import Key
from nettrace.model.instant import NS_PER_S
from nettrace.model.target import Endpoint, Lifecycle, Role, Target
from nettrace.model.vantage import VantageState
from nettrace.wire.frames import Enrol
from nettrace.wire.signing import LEEWAY_NS, key_of, signed

REPORT = ("POST", "/api/v1/nodes/report")
WORK = ("GET", "/api/v1/nodes/work")
KEYS = {"node_nyc": b"nyc" * 10, "node_lon": b"lon" * 10}


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def doors(store, link, clock, tmp_path):
    doors = NodeDoors(lambda: store, link, Tiers(tmp_path / "tiers.toml"), clock)
    await doors.start()
    yield doors
    await doors.close()


def packed(body) -> bytes:
    return zlib.compress(msgspec.msgpack.encode(body))


def headers(node="node_nyc", *, body=b"", at=NOW, request=REPORT, key=None, packing="deflate"):
    made = signed(node, key or KEYS[node], request, at, body)
    return {**{name.lower(): value for name, value in made.items()}, "content-encoding": packing}


async def send(doors, said, **options):
    body = said if isinstance(said, bytes) else packed(said)
    return await doors.report(REPORT, headers(body=body, **options), body, NOW)


async def test_a_signed_report_is_stored_and_answered_with_the_hubs_two_stamps(doors, store, clock):
    clock.now = NOW + 5
    ack = await send(doors, report("node_nyc", record(1)))
    assert (ack.upto_seq, ack.received_at, ack.answered_at) == (1, NOW, NOW + 5)
    assert store.entries["node_nyc"] == [record(1)]


async def test_only_the_nodes_own_key_over_this_very_body_opens(doors):
    body = packed(report("node_nyc", record(1)))
    for forged in (
        headers(body=b"else"),
        headers(body=body, key=KEYS["node_lon"]),
        headers(body=body, request=WORK),
        headers("node_mars", body=body, key=b"k"),
        {},
    ):
        with pytest.raises(Unauthenticated):
            await doors.report(REPORT, forged, body, NOW)
    with pytest.raises(WireError, match="signed by"):
        await send(doors, report("node_lon", record(1)))


async def test_a_request_recorded_long_ago_opens_nothing(doors, clock):
    clock.now = NOW + LEEWAY_NS + 1
    with pytest.raises(Unauthenticated, match="time"):
        await send(doors, report("node_nyc", record(1)))


async def test_a_revoked_node_gets_nothing_in_even_before_this_worker_knows(doors, store, link):
    await link.call(HubWriter.set_state, "node_nyc", VantageState.REVOKED, NOW)
    with pytest.raises(NotAllowed, match="revoked"):
        await send(doors, report("node_nyc", record(1)))
    assert store.entries == {}


async def test_a_bomb_is_not_unpacked(doors, monkeypatch):
    monkeypatch.setattr(ingest, "MOST_UNPACKED_BYTES", 100_000)
    with pytest.raises(WireError, match="unpacks to more"):
        await send(doors, zlib.compress(bytes(10_000_000)))


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"no zlib",
        zlib.compress(b"no msgpack"),
        packed(report("node_nyc", record(1)))[:-3],
        packed(report("node_nyc", record(1))) + b"more",
        packed(report("node_nyc", record(1), record(3))),
        packed(report("node_nyc", record(1), first_seq=2)),
        packed(report("node_nyc", *[record(seq) for seq in range(1, 1002)])),
    ],
)
async def test_what_is_not_a_whole_report_is_refused(doors, store, said):
    with pytest.raises(WireError):
        await send(doors, said)
    assert store.entries == {}


async def test_another_protocol_is_told_which_of_the_two_to_update(doors):
    with pytest.raises(Conflict, match="Update the hub"):
        await send(doors, packed({"protocol": 99, "node": "node_nyc", "things": "unheard of"}))


async def test_a_full_disk_reaches_the_node_as_such(doors, store):
    store.failing = StoreFull("no room")
    with pytest.raises(StoreFull):
        await send(doors, report("node_nyc", record(1)))


def target(host: str, **options) -> Target:
    endpoint = Endpoint(name="site", host=host, role=Role.WEB)
    return Target(host=host, name=host, category="Mine", endpoints=(endpoint,), **options)


async def answered_when(doors, fits):
    """The first answer to a heartbeat whose assignment fits; the doors follow the store within a moment."""
    async with asyncio.timeout(5):
        while True:
            ack = await send(doors, report("node_nyc"))
            if ack.assignment is not None and fits(ack.assignment):
                return ack
            await asyncio.sleep(0.01)


async def test_a_node_that_works_by_an_old_assignment_gets_the_current_one(doors, store, link):
    gone = target("gone.example", lifecycle=Lifecycle.RETIRED)
    await link.call(HubWriter.put_targets, [target("b.example"), target("a.example"), gone], NOW)
    orders = Orders(cadence=cadence(5.0), opted_out=("b.example",))
    await link.call(HubWriter.put_setting, SETTING, msgspec.json.encode(orders), NOW)
    ack = await answered_when(doors, lambda given: bool(given.tasks))
    assert [task.target for task in ack.assignment.tasks] == ["a.example"]
    assert ack.assignment.cadence.rtt_s == 5.0
    again = report("node_nyc")
    current = msgspec.structs.replace(again, assignment=ack.assignment.version)
    assert (await send(doors, current)).assignment is None


async def test_what_a_lowered_tier_no_longer_holds_rests_until_it_does_again(doors, store, link, tmp_path):
    def tiers(most):
        features = "features=['custom_targets']\n" if most else ""
        (tmp_path / "tiers.toml").write_text(
            f"[[tier]]\nname='some'\ntitle='S'\ncustom_targets={most}\n{features}[[tier]]\nname='test'\ntitle='T'\n"
        )

    async def measured(*hosts):
        await answered_when(
            doors, lambda given: {task.target for task in given.tasks} == {"a.example", *hosts}
        )

    tiers(3)
    key = Key(id="key_1", hash=b"1" * 32, hint="abcd", account="acme", tier="some")
    await link.call(HubWriter.put_key, key)
    own = [target(f"{name}.example~1", account="acme") for name in ("x", "y", "z")]
    await link.call(HubWriter.put_targets, [target("a.example"), *own], NOW)
    await measured("x.example~1", "y.example~1", "z.example~1")
    tiers(1)
    await measured("x.example~1")
    assert {each.host for each in store.targets()} == {"a.example", *(each.host for each in own)}, (
        "they are kept"
    )
    await link.call(HubWriter.drop_target, "x.example~1", NOW)
    await measured("y.example~1")
    tiers(0)
    await measured()
    tiers(3)
    await measured("y.example~1", "z.example~1")
    await link.call(HubWriter.put_key, msgspec.structs.replace(key, revoked_at=NOW))
    await measured()


async def test_a_drained_node_is_told_to_rest_and_may_still_empty_its_spool(doors, store, link):
    await link.call(HubWriter.put_targets, [target("a.example")], NOW)
    await link.call(HubWriter.set_state, "node_nyc", VantageState.DRAINED, NOW)
    ack = await answered_when(doors, lambda given: given.drained)
    assert ack.assignment.tasks == ()
    assert (await send(doors, report("node_nyc", record(1)))).upto_seq == 1


async def for_ever() -> None:
    await asyncio.Event().wait()


async def test_a_hub_that_ends_lets_waiting_nodes_go_at_once(doors):
    import os
    import signal

    waiting = asyncio.create_task(doors.work(WORK, headers(request=WORK), 25.0, for_ever))
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(5):
        assert await waiting == ()


async def test_a_node_that_hangs_up_is_waited_for_no_longer(doors):
    async def hang_up() -> None:
        return None

    async with asyncio.timeout(5):
        assert await doors.work(WORK, headers(request=WORK), 25.0, hang_up) == ()


async def test_who_is_to_measure_something_else_is_let_go_at_once_to_hear_of_it(doors, store, link):
    await link.call(HubWriter.set_state, "node_sfo", VantageState.DRAINED, NOW)
    await answered_when(doors, lambda given: len(given.peers) == 1)
    signed_by = {each: headers(each, request=WORK, key=store.node_rows[each].key) for each in store.node_rows}
    waiting = {
        each: asyncio.create_task(doors.work(WORK, told, 25.0, for_ever)) for each, told in signed_by.items()
    }
    await asyncio.sleep(0)
    row = store.node_rows["node_lon"]
    heir = msgspec.structs.replace(row.vantage, reflector="192.0.2.1:862")
    store.node_rows["node_lon"] = msgspec.structs.replace(row, vantage=heir)
    store.version += 1  # as the store does when a report names a reflector
    async with asyncio.timeout(5):
        assert await waiting["node_nyc"] == ()
    ack = await send(doors, report("node_nyc"))
    assert [task.target for task in ack.assignment.tasks] == ["lon.mesh"]
    assert not waiting["node_lon"].done() and not waiting["node_sfo"].done(), "nothing changes for these"
    await link.call(HubWriter.set_state, "node_sfo", VantageState.ACTIVE, NOW)
    async with asyncio.timeout(5):
        assert await waiting["node_sfo"] == (), "it is drained no more"
        assert await waiting["node_lon"] == (), "it has a peer more"


async def test_work_reaches_only_the_vantage_it_is_for(doors, link):
    from tests.unit.hub.test_work import request as asked

    waiting = asyncio.create_task(doors.work(WORK, headers(request=WORK), 20.0, for_ever))
    await link.call(HubWriter.put_request, asked("a", deadline_s=10**9))
    assert await doors.work(WORK, headers("node_lon", request=WORK), 0.0, for_ever) == ()
    async with asyncio.timeout(5):
        assert [work.request for work in await waiting] == ["a"]


def enrol_body(token: str, region="fra", **options) -> bytes:
    return msgspec.msgpack.encode(Enrol(token=token, region=region, version="1", **options))


async def test_a_token_makes_one_machine_a_node_that_may_report_at_once(doors, store, clock):
    token = make_token(store, "fra", NOW)
    enrolled = await doors.enrol(enrol_body(token, city="Frankfurt", latitude=50.1, longitude=8.7))
    KEYS[enrolled.node] = key_of(enrolled.secret)
    ack = await send(doors, report(enrolled.node, record(1)), node=enrolled.node)
    assert ack.upto_seq == 1
    assert store.node_rows[enrolled.node].vantage.city == "Frankfurt"
    assert enrolled.secret.encode() not in b"".join(row.key for row in store.node_rows.values())
    with pytest.raises(Unauthenticated, match="one machine"):
        await doors.enrol(enrol_body(token))
    assert enrolled.silent_since == 0, "nobody was there before"
    heir = await doors.enrol(enrol_body(make_token(store, "fra", NOW)))
    assert heir.silent_since == record(1).due, "what its forerunner had after that, nobody will ever have"


@pytest.mark.parametrize(
    "late_s, region, token",
    [(0, "lon", None), (25 * 3600, "fra", None), (0, "fra", mint(ENROL)), (0, "fra", "x")],
    ids=["another region", "yesterday", "nobody's", "no token"],
)
async def test_a_token_of_another_region_or_yesterday_or_nobody_opens_nothing(
    doors, store, clock, late_s, region, token
):
    made = make_token(store, "fra", NOW)
    clock.now = NOW + late_s * NS_PER_S
    with pytest.raises(Unauthenticated):
        await doors.enrol(enrol_body(token or made, region))


async def test_the_token_itself_is_never_kept(store):
    token = make_token(store, "fra", NOW)
    assert all(token.encode() not in msgspec.msgpack.encode(kept) for kept in store.tokens.values())
