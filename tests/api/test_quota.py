"""Calls are counted once, said in headers, and refused with the time when there is more."""

from tests.api.conftest import Hub


async def test_headers_tell_what_is_left(hub: Hub) -> None:
    key = hub.key("free")
    first = await hub.get("/api/v1/targets", headers=key)
    second = await hub.get("/api/v1/targets", headers=key)
    assert first.headers["ratelimit-policy"] == '"burst";q=60;w=60, "daily";q=100;w=86400'
    assert '"daily";r=99' in first.headers["ratelimit"]
    assert '"daily";r=98' in second.headers["ratelimit"]
    assert (first.headers["x-ratelimit-limit"], first.headers["x-ratelimit-remaining"]) == ("60", "59")
    assert first.headers["nettrace-cost"] == "1"


async def test_an_answer_that_is_known_already_costs_nothing(hub: Hub) -> None:
    key = hub.key("free")
    for path in (
        "/api/v1/targets",
        "/api/v1/latency/api.example.com",
        "/api/v1/latency/api.example.com/history",
    ):
        first = await hub.get(path, headers=key)
        again = await hub.get(path, headers={**key, "If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        other = await hub.get(path, headers={**key, "If-None-Match": '"something else"'})
        assert other.status_code == 200
    assert (await hub.json("/api/v1/usage", headers=key))["calls"] == 6


async def test_a_used_up_quota_is_refused_with_the_time_when_there_is_more(hub: Hub) -> None:
    key = hub.key("free")
    known = (await hub.get("/api/v1/targets", headers=key)).headers["etag"]
    for _ in range(59):
        assert (await hub.get("/api/v1/targets", headers=key)).status_code == 200
    refused = await hub.get("/api/v1/targets", headers=key)
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert '"burst";r=0' in refused.headers["ratelimit"]
    assert refused.json()["code"] == "quota-exceeded"
    assert refused.json()["violated-policies"] == ["burst"]
    assert (await hub.get("/api/v1/limits", headers=key)).status_code == 200
    still = await hub.get("/api/v1/targets", headers={**key, "If-None-Match": known})
    assert still.status_code == 304
    hub.clock += 60 * 10**9
    assert (await hub.get("/api/v1/targets", headers=key)).status_code == 200


async def test_all_keys_of_an_account_share_its_quota(hub: Hub) -> None:
    one, two = hub.key("free", "acme"), hub.key("free", "acme")
    await hub.get("/api/v1/targets", headers=one)
    answer = await hub.get("/api/v1/targets", headers=two)
    assert '"daily";r=98' in answer.headers["ratelimit"]
