"""What still goes on is said wherever somebody looks: in a short list of events, on a public status page, in a ranking."""

from collections.abc import Iterator

import httpx2
import pytest
from tests.browser import world
from tests.browser.conftest import filled
from tests.browser.served import PATIENCE_S, Served

pytestmark = pytest.mark.browser
SHIFT = f"shift: {world.MOVED} from 2 vantages"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A hub that heard of everything just now: what is said of now changes as rounds grow old."""
    made = Served(filled(tmp_path_factory.mktemp("fresh") / "hub"))
    yield made
    made.end()


def page(hub: Served, path: str) -> str:
    answer = httpx2.get(hub.url + path, timeout=PATIENCE_S)
    assert answer.status_code == 200
    return answer.text


def test_what_began_before_the_stretch_and_is_open_is_on_the_list(fresh: Served) -> None:
    assert SHIFT in page(fresh, "/events?w=1h")
    assert SHIFT in page(fresh, f"/events?w=1h&kind=shift&host={world.MOVED}")


def test_a_filter_and_a_stretch_that_is_over_leave_it_out(fresh: Served) -> None:
    assert SHIFT not in page(fresh, "/events?w=1h&kind=loss")
    assert SHIFT not in page(fresh, "/events?w=1h&from=tyo")
    assert SHIFT not in page(fresh, "/events?start=2026-01-01T00:00:00Z&end=2026-01-01T01:00:00Z")


def test_a_public_status_page_says_what_is_degraded_from_some_vantages_only(fresh: Served) -> None:
    told = page(fresh, f"/status/{world.MOVED}")
    assert "Degraded now" in told
    assert SHIFT in told
    assert "/events/" not in told, "strangers may not follow it"
    assert "Degraded now" not in page(fresh, "/status/api.bellwether.example")


def test_a_target_that_does_not_answer_now_keeps_its_place_and_says_so(fresh: Served) -> None:
    assert page(fresh, "/leaderboard?category=Crypto+Exchanges&from=lon").count("no answer now") == 1
