"""A trace that did not take place is data about the node, and no path: the newest path stays the one that was seen."""

from tests.api.conftest import NOW, Hub

from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import Method, Outcome, Reason
from nettrace.model.path import StopReason, Trace


async def test_a_trace_that_was_not_taken_hides_no_path(hub: Hub) -> None:
    before = await hub.json("/api/v1/routes/api.example.com?region=nyc")
    left_out = Trace(
        target="api.example.com", address="198.18.0.1", at=NOW - NS_PER_S, outcome=Outcome.NOT_MEASURED,
        reason=Reason.NOT_SCHEDULED, method=Method.TCP, flow=0, reached=False, stop=StopReason.ABORTED,
    )  # fmt: skip
    hub.report("nyc", [(NOW - NS_PER_S, "api.example.com", left_out)])
    await hub.service.refresh()
    after = await hub.json("/api/v1/routes/api.example.com?region=nyc")
    assert after["data"] == before["data"]
    assert len(after["data"][0]["hops"]) == 3
