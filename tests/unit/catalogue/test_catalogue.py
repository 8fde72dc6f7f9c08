"""The list of targets: what ships holds to its own rules, and a user's file is told what is wrong with it."""

import pytest

from nettrace.catalogue.load import built_in, merged, plain_target, read
from nettrace.catalogue.rule import CATEGORIES, findings
from nettrace.errors import ConfigError
from nettrace.model.target import Lifecycle, Role, RoundMethod

ONE = """
[[target]]
host = "api.example"
name = "Example"
category = "Mine"
"""


def test_what_ships_is_sound_to_the_last_doubt() -> None:
    assert findings(built_in()) == []


def test_it_has_a_hundred_live_targets_in_the_seven_categories() -> None:
    targets = built_in()
    assert sum(target.lifecycle is Lifecycle.ACTIVE for target in targets) >= 100
    assert {target.category for target in targets} == set(CATEGORIES)


def test_the_dead_and_the_renamed_are_marked_and_lead_on() -> None:
    by_host = {target.host: target for target in built_in()}
    assert by_host["cloud.iexapis.com"].lifecycle is Lifecycle.RETIRED
    assert by_host["api.polygon.io"].replaced_by == "api.massive.com"
    for target in by_host.values():
        if target.replaced_by:
            assert by_host[target.replaced_by].lifecycle is Lifecycle.ACTIVE


def test_venues_are_reached_by_their_apis_not_by_their_advertising() -> None:
    venues = [target for target in built_in() if target.category == "Crypto Exchanges"]
    assert len(venues) >= 20
    for venue in venues:
        if venue.lifecycle is Lifecycle.ACTIVE:
            assert venue.endpoints[0].role in {Role.API, Role.DATA, Role.ENGINE}, venue.host
            assert venue.endpoints[0].url


def test_nothing_here_could_place_an_order_or_log_in() -> None:
    for target in built_in():
        for endpoint in target.endpoints:
            words = (endpoint.url or "").lower()
            assert not any(
                word in words for word in ("order", "withdraw", "login", "token=", "key=nt", "transfer")
            ), words


def test_a_host_alone_is_a_target() -> None:
    (target,) = read(ONE, "mine.toml")
    assert (target.endpoints[0].host, target.endpoints[0].port) == ("api.example", 443)
    made = plain_target("api.example", url="wss://api.example/feed")
    assert RoundMethod.WS in made.endpoints[0].methods
    assert findings([made])[0].wrong is False


def test_a_users_file_replaces_by_host_and_adds_the_rest() -> None:
    own = read(ONE + ONE.replace("api.example", "api.kraken.com"), "mine.toml")
    both = merged([built_in(), own])
    assert len(both) == len(built_in()) + 1
    assert next(target for target in both if target.host == "api.kraken.com").name == "Example"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[target", "not TOML"),
        ("[target]\nhost='a.example'", "one table"),
        (ONE + "categroy = 'x'", "unknown field 'categroy'.*Did you mean 'category'"),
        (ONE + "lifecycle = 'dead'", "lifecycle"),
        (ONE + ONE, "stands there 2 times"),
        (ONE.replace("api.example", "https://api.example/x"), "not a host name"),
        (ONE + "lifecycle = 'renamed'\nnote = 'gone'", "but to what"),
        (ONE + "[[target.endpoint]]\nname='a'\nhost='b.example'\nrole='api'\nmethods=['http']", "need a url"),
        (ONE + "[[target.endpoint]]\nname='a'\nhost='b.example'\nrole='api'\nurl='https://c.example/'", "leads to c.example"),
        (ONE + "[[target.endpoint]]\nname='a'\nhost='b.example'\nrole='api'\nport=70000", "no port"),
        (ONE + "[[target.endpoint]]\nname='a'\nhost='b.example'\nrole='king'", "king"),
        (ONE + "[[target.endpoint]]\nname='a'\nhost='b.example'\nrole='api'\nurl='https://u:p@b.example/'", "credentials"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=r"mine\.toml") as refused:
        read(text, "mine.toml")
    import re

    assert re.search(words, str(refused.value)), refused.value
