"""Keys, tiers and quota: who may ask for what, counted once however many workers there are."""

import multiprocessing
import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nettrace.errors import ConfigError, NotAllowed, QuotaExceeded, Unauthenticated
from nettrace.hub import keys
from nettrace.hub.access import OWNER, Access
from nettrace.hub.keys import LIVE
from nettrace.hub.quota import Quota
from nettrace.hub.tiers import Tiers, read_tiers
from nettrace.model.account import Feature, Key, Scope, Tier
from nettrace.model.instant import NS_PER_S
from nettrace.store.rows import Window

DAY_NS = 86_400 * NS_PER_S
NOW = 1_790_000_000 * NS_PER_S


class Shelf:
    """The part of a store that access asks."""

    def __init__(self) -> None:
        self.held: dict[bytes, Key] = {}

    def keys(self, account: str | None = None) -> list[Key]:
        return [key for key in self.held.values() if account in {None, key.account}]

    def key(self, hash: bytes) -> Key | None:  # noqa: A002
        return self.held.get(hash)

    def add(self, tier: str = "pro", prefix: str = LIVE, **more: object) -> tuple[str, Key]:
        secret = keys.mint(prefix)
        made = Key(
            id=keys.identifier("key_"), hash=keys.digest(secret), hint=secret[-4:], account="acme", tier=tier,
            live=prefix == LIVE,
        )  # fmt: skip
        made = msgspec.structs.replace(made, **more)
        self.held[made.hash] = made
        return secret, made


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def access(shelf: Shelf, tmp_path: Path) -> Access:
    quota = Quota(tmp_path / "quota.bin", slots=64)
    return Access(shelf, Tiers(tmp_path / "tiers.toml"), quota, single_user=True)  # type: ignore[arg-type]


def bearer(secret: str) -> str:
    return f"Bearer {secret}"


def test_a_hub_without_keys_belongs_to_whoever_sits_there_and_to_nobody_else_after_the_first(
    access: Access, shelf: Shelf
) -> None:
    assert access.caller(None, None, NOW) is OWNER
    shelf.add()
    with pytest.raises(Unauthenticated, match="no API key"):
        access.caller(None, None, NOW)


def test_a_key_is_its_account_tier_and_scopes_by_either_header(access: Access, shelf: Shelf) -> None:
    secret, key = shelf.add("enterprise", scopes=frozenset({Scope.READ, Scope.MEASURE}))
    for headers in ((bearer(secret), None), (None, secret)):
        caller = access.caller(*headers, NOW)
        assert (caller.account, caller.tier.name, caller.key) == ("acme", "enterprise", key.id)
        assert caller.scopes == {Scope.READ, Scope.MEASURE}


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("Basic abc", "not 'Bearer"),
        ("Bearer ", "not 'Bearer"),
        ("Bearer nt_live_short", "not an API key"),
        (bearer(keys.mint(keys.ENROL)), "not an API key"),
        (bearer(keys.mint(keys.LIVE)), "unknown here"),
    ],
    ids=["another scheme", "empty", "too short", "an enrolment token", "a key of nobody"],
)
def test_what_is_no_key_here_is_refused_in_words(
    access: Access, shelf: Shelf, header: str, words: str
) -> None:
    shelf.add()
    with pytest.raises(Unauthenticated, match=words):
        access.caller(header, None, NOW)


def test_revoked_and_expired_keys_are_dead_from_that_instant(access: Access, shelf: Shelf) -> None:
    revoked, _ = shelf.add(revoked_at=NOW)
    expired, _ = shelf.add(expires_at=NOW)
    for secret in (revoked, expired):
        access.caller(bearer(secret), None, NOW - 1)
        with pytest.raises(Unauthenticated, match=r"revoked|expired"):
            access.caller(bearer(secret), None, NOW)


def test_a_test_key_has_the_test_tier_whatever_was_bought(access: Access, shelf: Shelf) -> None:
    secret, _ = shelf.add("government", prefix=keys.TEST)
    assert access.caller(bearer(secret), None, NOW).tier.name == "test"


def test_a_changed_tier_file_holds_for_existing_keys_at_once(
    access: Access, shelf: Shelf, tmp_path: Path
) -> None:
    secret, _ = shelf.add("pro")
    access.require(access.caller(bearer(secret), None, NOW), Feature.ROUTES)
    (tmp_path / "tiers.toml").write_text('tier = [{name="test", title="T"}, {name="pro", title="P"}]')
    with pytest.raises(NotAllowed, match="does not hold 'routes'"):
        access.require(access.caller(bearer(secret), None, NOW), Feature.ROUTES)


def test_a_missing_scope_or_feature_says_what_has_it(access: Access, shelf: Shelf) -> None:
    caller = access.caller(bearer(shelf.add("free")[0]), None, NOW)
    with pytest.raises(NotAllowed) as refused:
        access.require(caller, Feature.EXPORT)
    assert "Enterprise" in refused.value.hint
    with pytest.raises(NotAllowed, match="lacks the scope 'keys'"):
        access.require(caller, scope=Scope.KEYS)


def test_quota_refuses_the_call_after_the_last_and_forgives_the_next_day(
    access: Access, shelf: Shelf
) -> None:
    caller = access.caller(bearer(shelf.add("free")[0]), None, NOW)
    for number in range(100):
        access.charge(caller, NOW + number * 2 * NS_PER_S)
    with pytest.raises(QuotaExceeded) as refused:
        access.charge(caller, NOW + 300 * NS_PER_S)
    assert refused.value.policies == ("daily",)
    assert 0 < refused.value.retry_after_s <= 86_400
    later = NOW + refused.value.retry_after_s * NS_PER_S + 300 * NS_PER_S
    assert access.charge(caller, later).policies[1].remaining == 99


def test_a_refused_call_costs_nothing_and_asking_is_free(access: Access, shelf: Shelf) -> None:
    caller = access.caller(bearer(shelf.add("free")[0]), None, NOW)
    access.charge(caller, NOW, cost=60)
    for _ in range(5):
        with pytest.raises(QuotaExceeded):
            access.charge(caller, NOW)
    assert [policy.used for policy in access.usage(caller, NOW).policies] == [60, 60]


def test_ten_keys_of_an_account_share_its_quota(access: Access, shelf: Shelf) -> None:
    callers = [access.caller(bearer(shelf.add("free")[0]), None, NOW) for _ in range(10)]
    for caller in callers:
        access.charge(caller, NOW, cost=6)
    with pytest.raises(QuotaExceeded):
        access.charge(callers[0], NOW)


def test_history_is_cut_where_the_tier_ends(access: Access, shelf: Shelf) -> None:
    caller = access.caller(bearer(shelf.add("free")[0]), None, NOW)
    cut = access.window(caller, Window(NOW - 9 * DAY_NS, NOW), NOW)
    assert (cut.start, cut.end) == (NOW - DAY_NS, NOW)
    nothing = access.window(caller, Window(NOW - 9 * DAY_NS, NOW - 8 * DAY_NS), NOW)
    assert nothing.start == nothing.end


UNLIMITED = Tier(name="u", title="U", calls_per_day=10**9, calls_per_minute=10**9, streams=3)


def count(path: Path, key: str, times: int) -> None:
    quota = Quota(path)
    for _ in range(times):
        quota.charge(key, UNLIMITED, NOW)


def test_workers_count_every_call_once(tmp_path: Path) -> None:
    path = tmp_path / "quota.bin"
    Quota(path, slots=8).close()
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=count, args=(path, f"key{n % 2}", 2000)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    quota = Quota(path)
    assert [quota.usage(f"key{n}", UNLIMITED, NOW).policies[0].used for n in range(2)] == [4000, 4000]
    assert quota.calls_today(NOW) == 8000
    quota.close()


def test_counts_survive_a_restart_and_yesterdays_slots_are_used_again(tmp_path: Path) -> None:
    quota = Quota(tmp_path / "q", slots=4)
    for number in range(4):
        quota.charge(f"old{number}", UNLIMITED, NOW)
    quota.close()
    again = Quota(tmp_path / "q")
    assert again.usage("old1", UNLIMITED, NOW).policies[1].used == 1
    for number in range(4):
        again.charge(f"new{number}", UNLIMITED, NOW + DAY_NS)
    assert again.usage("new3", UNLIMITED, NOW + DAY_NS).policies[1].used == 1
    again.close()


def test_stream_places_are_given_back_however_the_holder_ends(tmp_path: Path) -> None:
    quota = Quota(tmp_path / "q", slots=4)
    with quota.stream("a", UNLIMITED) as one, quota.stream("a", UNLIMITED) as two:
        child = os.fork()
        if child == 0:  # holds the third place and dies with it
            with Quota(tmp_path / "q").stream("a", UNLIMITED) as three:
                os._exit(0 if three else 1)
        assert os.waitpid(child, 0)[1] == 0
        with quota.stream("a", UNLIMITED) as three, quota.stream("a", UNLIMITED) as four:
            assert (one, two, three, four) == (True, True, True, False)
            with quota.stream("b", UNLIMITED) as other:
                assert other
    quota.close()


@given(st.text(max_size=60))
def test_no_text_is_a_key_unless_it_was_made_as_one(text: str) -> None:
    assert not keys.well_formed(text)
    assert not keys.well_formed(keys.LIVE + text)


@given(st.integers(0, 43), st.sampled_from(keys.ALPHABET))
def test_a_typing_error_is_caught_before_the_store_is_asked(place: int, other: str) -> None:
    secret = keys.mint(keys.LIVE)
    wrong = secret[:place] + other + secret[place + 1 :]
    assert keys.well_formed(wrong) == (wrong == secret)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tier = [{name='test', title='T', calls=3}]", "calls"),
        ("tier = [{name='pro', title='T'}]", "no tier 'test'"),
        ("tier = [{name='test', title='T'}, {name='test', title='T'}]", "twice"),
        ("tier = [{name='test', title='T', features=['gold']}]", "gold"),
        ("not toml", "tiers"),
    ],
)
def test_a_wrong_tier_file_says_where(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_tiers(text, "tiers.toml")


def test_an_unknown_tier_gets_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        Tiers(tmp_path / "none").named("enterprize")
    assert refused.value.hint == "Did you mean 'enterprise'?"
