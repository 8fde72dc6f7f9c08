"""The ledger of third-party tests: never overdrawn, by whatever number of processes, crashes and restarts."""

import subprocess
import sys
from pathlib import Path

import pytest

from nettrace.errors import QuotaExceeded, SourceError
from nettrace.outside.allowance import Allowance, Window

HOUR = Window(service="globalping", account="anonymous", unit="tests", limit=10, seconds=3600)
S = 1_000_000_000


class Clock:
    def __init__(self) -> None:
        self.ns = 1_000_000 * S

    def __call__(self) -> int:
        return self.ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def allowance(tmp_path: Path, clock: Clock) -> Allowance:
    return Allowance(tmp_path / "ledger.sqlite", clock)


def test_what_is_reserved_is_not_there_for_anybody_else(
    allowance: Allowance, tmp_path: Path, clock: Clock
) -> None:
    allowance.reserve(HOUR, 7)
    restarted = Allowance(tmp_path / "ledger.sqlite", clock)
    assert restarted.left(HOUR) == 3
    with pytest.raises(QuotaExceeded, match="takes 4 tests, and 3 of 10") as refused:
        restarted.reserve(HOUR, 4)
    assert refused.value.retry_after_s == 3600
    assert refused.value.exit_code == 7


def test_a_window_slides_so_no_hour_of_the_services_own_holds_more(
    allowance: Allowance, clock: Clock
) -> None:
    allowance.reserve(HOUR, 6)
    clock.ns += 1800 * S
    allowance.reserve(HOUR, 4)
    clock.ns += 1799 * S
    with pytest.raises(QuotaExceeded) as refused:
        allowance.reserve(HOUR, 1)
    assert refused.value.retry_after_s == 1
    clock.ns += 1 * S
    assert allowance.left(HOUR) == 6


def test_what_was_not_taken_comes_back_and_a_crash_counts_as_spent(allowance: Allowance) -> None:
    allowance.release(allowance.reserve(HOUR, 5))
    allowance.settle(allowance.reserve(HOUR, 5), 2)
    allowance.reserve(HOUR, 3)  # its process died
    assert allowance.left(HOUR) == 5


def test_a_token_does_not_double_what_one_may_spend(allowance: Allowance) -> None:
    from msgspec.structs import replace

    allowance.reserve(HOUR, 8)
    assert allowance.left(replace(HOUR, account="0123", limit=12)) == 4


def test_the_services_word_holds_where_it_is_smaller(allowance: Allowance, clock: Clock) -> None:
    allowance.heard(HOUR, 4, 600, allowance.mark(HOUR))
    assert allowance.left(HOUR) == 4
    early = allowance.mark(HOUR)
    clock.ns += S
    mine = allowance.reserve(HOUR, 3)
    allowance.heard(HOUR, 4, 600, early)  # said before it could know of these three
    assert allowance.left(HOUR) == 1
    own = allowance.mark(HOUR, own=mine)
    allowance.settle(mine, 3)
    allowance.heard(
        HOUR, 2, 600, own
    )  # the answer to those three: it counts them, and somebody else took two
    assert allowance.left(HOUR) == 2
    allowance.heard(HOUR, 9, 600, early)  # an older word that came late
    assert allowance.left(HOUR) == 2
    clock.ns += 601 * S
    assert allowance.left(HOUR) == 7


def test_more_than_the_limit_is_never_to_be_had(allowance: Allowance) -> None:
    with pytest.raises(QuotaExceeded, match="Ask for fewer"):
        allowance.reserve(HOUR, 11)


_TAKER = """
import sys, threading
from pathlib import Path
from nettrace.errors import QuotaExceeded
from nettrace.outside.allowance import Allowance, Window
window = Window(service="globalping", account="a", unit="tests", limit=40, seconds=3600)
got = []
def take():
    for _ in range(8):
        try:
            Allowance(Path(sys.argv[1])).reserve(window, 1)
            got.append(1)
        except QuotaExceeded:
            pass
threads = [threading.Thread(target=take) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(got))
"""


def test_processes_and_threads_together_take_exactly_the_limit(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _TAKER, str(tmp_path / "ledger.sqlite")]
    takers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    got = [int(taker.communicate(timeout=60)[0]) for taker in takers]
    assert sum(got) == 40


def test_without_a_ledger_nothing_is_sent(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match="nothing is sent"):
        Allowance(tmp_path / "file" / "ledger.sqlite").reserve(HOUR, 1)
