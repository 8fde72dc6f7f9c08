"""Targets of an account's own: for nobody else's eyes, as many as the tier holds, and nothing that lies inside."""

import asyncio

import pytest
from tests.api.conftest import Hub

from nettrace.hub.assignment import SETTING, assignment_for
from nettrace.model.vantage import Vantage
from nettrace.store.port import NodeRow

PATH = "/api/v1/targets/custom"
NODE = NodeRow(vantage=Vantage(code="nyc", node="n"), key=b"")


async def test_a_host_is_watched_for_its_owner_alone(hub: Hub) -> None:
    owner, stranger = hub.key("government", "one"), hub.key("government", "two")
    made = await hub.post(PATH, {"host": "Mine.example.net", "port": 9880}, headers=owner)
    assert made.status_code == 201, made.text
    name = made.json()["host"]
    await hub.service.refresh()
    for host in (name, "mine.example.net"):
        assert (await hub.get(f"/api/v1/targets/{host}", headers=owner)).status_code == 200
        assert (await hub.get(f"/api/v1/targets/{host}", headers=stranger)).status_code == 404
    assert [row["host"] for row in (await hub.json(PATH, headers=owner))["data"]] == [name]
    assert (await hub.json(PATH, headers=stranger))["data"] == []
    twin = (await hub.post(PATH, {"host": "mine.example.net"}, headers=stranger)).json()
    assert twin["host"] != name, "two accounts that watch the same host do not meet"
    with hub.reading() as reader:
        tasks = assignment_for(NODE, reader.targets(), {}).tasks
        ways = {task.target: (task.endpoint.host, task.endpoint.port) for task in tasks}
        assert ways[name] == ("mine.example.net", 9880)
        assert {line.action for line in reader.audit()} == {"target.add"}
    assert (await hub.client.delete(f"{PATH}/mine.example.net", headers=owner)).json()[
        "lifecycle"
    ] == "retired"
    assert (await hub.json(PATH, headers=owner))["data"] == []
    with hub.reading() as reader:
        tasks = assignment_for(NODE, reader.targets(), {}).tasks
        assert name not in {task.target for task in tasks}


async def test_the_same_again_is_the_same_target(hub: Hub) -> None:
    owner = hub.key("government")
    once = {**owner, "Idempotency-Key": "a"}
    first = await hub.post(PATH, {"host": "a.example.net"}, headers=once)
    again = await hub.post(PATH, {"host": "a.example.net"}, headers=once)
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert (await hub.post(PATH, {"host": "b.example.net"}, headers=once)).status_code == 422
    assert (await hub.post(PATH, {"host": "a.example.net", "port": 1}, headers=owner)).status_code == 409
    assert len((await hub.json(PATH, headers=owner))["data"]) == 1
    public = await hub.post(PATH, {"host": "api.example.com"}, headers=owner)
    assert (public.status_code, public.json()["hint"]) == (409, "See /api/v1/targets/api.example.com")


async def test_a_tier_holds_so_many_also_when_all_are_asked_for_at_once(hub: Hub) -> None:
    (hub.data.folder / "tiers.toml").write_text(
        "[[tier]]\nname='small'\ntitle='S'\ncustom_targets=3\nfeatures=['custom_targets']\n"
        "[[tier]]\nname='test'\ntitle='T'\n"
    )
    owner = hub.key("small")
    answers = await asyncio.gather(
        *(hub.post(PATH, {"host": f"h{number}.example.net"}, headers=owner) for number in range(8))
    )
    held = len((await hub.json(PATH, headers=owner))["data"])
    assert {answer.status_code for answer in answers} <= {201, 403}
    assert held == sum(answer.status_code == 201 for answer in answers) <= 3
    for number in range(3 - held):
        assert (await hub.post(PATH, {"host": f"i{number}.example.net"}, headers=owner)).status_code == 201
    full = await hub.post(PATH, {"host": "more.example.net"}, headers=owner)
    assert (full.status_code, full.json()["detail"]) == (403, "the tier 'small' holds 3 targets of its own")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "::1", "[::1]", "fe80::1%eth0",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "fd00:ec2::254", "224.0.0.1",
    ],
)  # fmt: skip
async def test_addresses_of_inside_are_refused(hub: Hub, host: str) -> None:
    answer = await hub.post(PATH, {"host": host})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden-target"), answer.text


@pytest.mark.parametrize(
    "host",
    [
        "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "1.2.3.4.5", "a b", "http://a.example", "a/b", "",
        "a..b", "localhost:80", "user@a.example", "-a.example", "é.example", "x" * 300,
    ],
)  # fmt: skip
async def test_what_only_some_programs_take_for_a_host_is_none(hub: Hub, host: str) -> None:
    answer = await hub.post(PATH, {"host": host})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == "#/body/host"


async def test_a_name_that_leads_inside_is_refused_and_does_not_say_where(hub: Hub) -> None:
    hub.names["mixed.example.net"] = ["8.8.8.8", "10.9.8.7"]
    answer = await hub.post(PATH, {"host": "mixed.example.net"})
    assert answer.status_code == 403
    assert "10.9.8.7" not in answer.text
    hub.names["late.example.net"] = []
    assert (await hub.post(PATH, {"host": "late.example.net"})).status_code == 201, "a node may know it"


async def test_the_operator_opens_a_network(hub: Hub) -> None:
    hub.store.put_setting(SETTING, b'{"open_networks":["10.1.0.0/16"]}', hub.clock)
    assert (await hub.post(PATH, {"host": "10.1.2.3"})).status_code == 201
    assert (await hub.post(PATH, {"host": "10.2.2.3"})).status_code == 403


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"url": "https://other.example/"}, 400),
        ({"url": "https://u:p@c.example.net/"}, 400),
        ({"url": "https://c.example.net:99999/"}, 400),
        ({"url": "file:///etc/passwd"}, 400),
        ({"methods": ["smoke"]}, 400),
        ({"methods": ["dns"]}, 400),
        ({"port": 70_000}, 400),
        ({"url": "https://c.example.net/ping"}, 201),
    ],
)
async def test_the_rest_is_checked_as_the_catalogue_is(
    hub: Hub, more: dict[str, object], status: int
) -> None:
    answer = await hub.post(PATH, {"host": "c.example.net", **more})
    assert answer.status_code == status, answer.text


async def test_a_lowered_tier_keeps_what_it_no_longer_holds_and_says_that_it_rests(hub: Hub) -> None:
    def tiers(most: int, features: str = "'custom_targets'") -> None:
        (hub.data.folder / "tiers.toml").write_text(
            f"[[tier]]\nname='small'\ntitle='S'\ncustom_targets={most}\nfeatures=[{features}]\n"
            "[[tier]]\nname='test'\ntitle='T'\n"
        )

    async def resting() -> dict[str, bool]:
        rows = (await hub.json(PATH, headers=owner))["data"]
        return {row["name"]: row["paused"] is not None for row in rows}

    tiers(3)
    owner = hub.key("small", scopes=frozenset({"read", "targets"}))
    for name in ("a", "b", "c"):
        made = await hub.post(PATH, {"host": f"{name}.example.net", "name": name}, headers=owner)
        assert made.status_code == 201, made.text
    assert await resting() == {"a": False, "b": False, "c": False}
    tiers(1)
    assert await resting() == {"a": False, "b": True, "c": True}
    reason = (await hub.json(PATH, headers=owner))["data"][1]["paused"]
    assert "holds 1 targets" in reason
    tiers(0, "")
    assert await resting() == {"a": True, "b": True, "c": True}, "a tier without the feature still shows them"
    gone = await hub.client.delete(f"{PATH}/a.example.net", headers=owner)
    assert gone.status_code == 200, "and lets go of them"
    tiers(2)
    assert await resting() == {"b": False, "c": False}
