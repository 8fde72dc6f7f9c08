"""A leg that is asked for afterwards is judged by what was measured while the fault lasted, and told with its places."""

from types import SimpleNamespace
from typing import Any, cast

from tests.unit.hub.test_story import MINUTE, PAIRS, said

from nettrace.hub.cause import causes
from nettrace.hub.hindsight import leg_of
from nettrace.model.instant import NS_PER_S
from nettrace.model.route import BlameVerdict
from nettrace.store.rows import Window


class Asked:
    """A reader that knows nothing and remembers for which stretches it was asked."""

    def __init__(self) -> None:
        self.windows: list[Window] = []

    def traces(self, _: object, window: Window, __: int) -> list[object]:
        self.windows.append(window)
        return []

    def raw(self, _: object, window: Window, **__: object) -> SimpleNamespace:
        self.windows.append(window)
        return SimpleNamespace(series=[], due=[], rtt_ns=[], samples_ns=[], grade=[], request=[])


def test_what_was_measured_after_the_end_does_not_acquit_the_leg() -> None:
    (cause,) = causes([said(100 * MINUTE, pair) for pair in PAIRS])
    reader = Asked()
    found = leg_of(cast(Any, reader), cause, cause.since + 66 * NS_PER_S)
    assert (found.blame.verdict, found.concluded) == (BlameVerdict.NONE, False)
    assert {window.end for window in reader.windows} == {cause.since + 66 * NS_PER_S}


def test_what_the_hub_concluded_stands_and_nothing_is_asked() -> None:
    leg = said(MINUTE, kind="degraded_leg", signals=[], affected=PAIRS, opened_by="", verdict="leg", added_ms=50.0, scope="middle",
               legs=[{"a": "10.0.0.1", "b": "10.0.0.2", "a_place": "Mumbai", "a_as_name": "Amberway", "b_place": "Chennai"}])  # fmt: skip
    (cause,) = causes([leg])
    reader = Asked()
    found = leg_of(cast(Any, reader), cause, 0)
    assert found.where == {"10.0.0.1": "Mumbai (Amberway)", "10.0.0.2": "Chennai"}
    assert found.concluded and not reader.windows
