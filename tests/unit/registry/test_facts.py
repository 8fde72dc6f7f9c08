"""The registry: what ships is sound, what a user adds counts, and what is wrong is found."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from nettrace.analysis.geo.sphere import between_km
from nettrace.catalogue.load import built_in as targets
from nettrace.errors import ConfigError
from nettrace.hub.floors import engine_place
from nettrace.model.target import Lifecycle
from nettrace.outside.places import find
from nettrace.placement.registry.facts import Confidence, Registry, Standing, What
from nettrace.placement.registry.lint import lint
from nettrace.placement.registry.load import built_in, extended
from nettrace.placement.registry.naming import completed
from nettrace.placement.registry.places import engine_of, held, plans_at, site_named, sites_of, venues_of
from nettrace.placement.request import parse_request

TODAY = "2026-11-20"
FACT = 'source = "https://example.org/where"\ndate = "2026-11"\nconfidence = "official"\n'
VENUE = f"""
[[venue]]
name = "mine"
title = "Mine"
operator = "Me"
product = "spot"
kind = "exchange"
assets = ["crypto spot"]
calendar = "always"
{FACT}
stands = [{{ what = "engine", place = "Slough, GB", latitude = 51.52, longitude = -0.63, building = "LD4", {FACT.strip().replace(chr(10), ", ")} }}]
"""
PLAN = f'[[plan]]\nprovider = "vultr"\nname = "big"\nvcpu = 4\nmemory_gb = 8\n{FACT}'
SEEDS_BROKERS = (
    "Binance", "Binance.US", "Bybit", "Coinbase", "Alpaca", "Interactive Brokers", "TradeStation", "NinjaTrader", "Kraken", "MEXC",
)  # fmt: skip
SEEDS_PROVIDERS = (
    "polygon", "alpaca-data", "tiingo", "eodhd", "alpha-vantage", "fmp", "finnhub", "twelve-data", "coingecko", "yahoo-finance",
)  # fmt: skip


def wrong(text: str) -> Sequence[str]:
    """What the linter finds in the registry with these additions."""
    return [
        f"{each.of}: {each.what}" for each in lint(extended(built_in(), text, "t"), find, between_km, TODAY)
    ]


def test_what_ships_is_sound() -> None:
    assert lint(built_in(), find, between_km, TODAY) == []


def test_every_exchange_and_broker_of_the_catalogue_is_there() -> None:
    watched = [
        target.host
        for target in targets()
        if target.category in {"Crypto Exchanges", "Forex & Brokers"} and target.lifecycle is Lifecycle.ACTIVE
    ]
    # A platform without a venue of its own, and a broker's web site whose API is another target.
    without = {"www.metatrader5.com", "www.ctrader.com", "www.schwab.com"}
    assert {host for host in watched if not venues_of(built_in(), host)} == without


def test_all_brokers_and_providers_of_the_placement_document_are_there() -> None:
    operators = {venue.operator for venue in built_in().venues.values()}
    assert set(SEEDS_BROKERS) <= operators
    assert set(SEEDS_PROVIDERS) <= set(built_in().venues)


@pytest.mark.parametrize(
    ("venue", "place"),
    [("binance-spot", "Tokyo"), ("bybit-spot", "Singapore"), ("kraken-spot", "London"), ("coinbase-international", "Tokyo"),
     ("coinbase-derivatives", "Chicago"), ("alpaca", "Ashburn"), ("cboe-options", "Secaucus"), ("cme-globex", "Aurora"),
     ("nyse", "Mahwah"), ("deribit", "Slough"), ("tradestation", None), ("tiingo", None), ("binance-us", None)],
)  # fmt: skip
def test_engines_stand_where_the_best_evidence_puts_them(venue: str, place: str | None) -> None:
    found = engine_of(built_in().venues[venue], find)
    assert (found.name if found else None) == place


def test_contradicted_statements_are_kept_with_their_source_but_not_gone_by() -> None:
    stands = built_in().venues["bybit-spot"].stands
    assert {each.place for each in stands if each.standing is Standing.CONTRADICTED} == {"Hong Kong", "Tokyo"}
    stand = held(built_in().venues["bybit-spot"], What.ENGINE)
    assert stand is not None
    assert stand.confidence is Confidence.OFFICIAL


def test_sites_have_coordinates_egress_country_and_a_dated_price_or_none() -> None:
    sites = {site.name: site for site in sites_of(built_in(), find)}
    assert all(site.place is not None and site.egress for site in sites.values())
    assert (sites["vultr:ewr"].egress, sites["aws:ap-northeast-1"].egress) == ("US", "JP")
    plan, price = plans_at(built_in(), "vultr", "ewr")[0]
    assert price is not None
    assert price > 0
    assert (plan.currency, plan.date) == ("USD", "2023-12-03")
    assert plans_at(built_in(), "equinix", "ny5") == []  # price unknown, not free


def test_a_target_without_a_tag_stands_where_the_registry_says_and_a_web_site_nowhere() -> None:
    known = {target.host: target for target in targets()}
    found = engine_place(known["api.alpaca.markets"])
    assert found is not None
    assert found.name == "Ashburn"
    assert engine_place(known["www.nyse.com"]) is None
    tagged = replace(known["api.alpaca.markets"], tags=("engine:tokyo",))
    assert getattr(engine_place(tagged), "name", None) == "Tokyo"


def test_a_users_file_adds_and_overrides() -> None:
    more = VENUE + VENUE.replace('"mine"', '"binance-spot"')
    made: Registry = extended(built_in(), more, "t")
    assert len(made.venues) == len(built_in().venues) + 1
    place = engine_of(made.venues["binance-spot"], find)
    assert place is not None
    assert (place.name, place.country, place.radius_km) == ("LD4", "GB", 1.0)
    assert wrong(more) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (VENUE.replace("51.52", "52.52"), "venue mine: engine: its coordinates are 112 km from Slough, GB, whose radius is 20 km"),
        (VENUE.replace("Slough, GB", "Nowhere at all"), "venue mine: engine: the gazetteer has no 'Nowhere at all'"),
        (VENUE.replace("latitude = 51.52, ", ""), "venue mine: engine: latitude and longitude go together; one is missing"),
        (VENUE.replace("Slough, GB", "unknown"), "venue mine: engine: has coordinates, but its place is unknown"),
        (VENUE.replace('"always"', '"never"'), "venue mine: there is no calendar 'never'"),
        (VENUE.replace('"2026-11"', '"soon"', 1), "venue mine: its date 'soon' is none (2025, 2025-10 or 2025-10-21)"),
        (VENUE.replace('"2026-11"', '"2026-12"', 1), "venue mine: its date 2026-12 is yet to come"),
        (VENUE.replace('"https://example.org/where"', '" "', 1), "venue mine: no source"),
        (VENUE.replace("https://example.org", "my notes", 1), "venue mine: is called official, but its source is no https:// address"),
        (PLAN + "price = 5.0", "plan vultr big: has a price without a currency (ISO 4217, such as USD)"),
        (PLAN + 'price = 0.0\ncurrency = "USD"', "plan vultr big: has a price of 0 or less: what is not known must be left out"),
        ((PLAN + 'price = 5.0\ncurrency = "USD"').replace('"2026-11"', '"2026"'), "plan vultr big: has a price, but its date names no month"),
        (PLAN + 'sites = ["moon"]', "plan vultr big: there is no site 'vultr:moon'"),
        (f'[[calendar]]\nname = "c"\nzone = "Mars/Base"\n{FACT}', "calendar c: 'Mars/Base' is no IANA time zone"),
        (f'[[calendar]]\nname = "c"\nzone = "UTC"\nsessions = [{{ days = "mon", opens = "9", closes = "17:00" }}]\n{FACT}',
         "calendar c: session time '9' is none (HH:MM)"),
        (f'[[provider]]\nname = "p"\ntitle = "P"\nkind = "vps"\n{FACT}[provider.sites]\na = "Atlantis"', "provider p: site a: the gazetteer has no 'Atlantis'"),
    ],
)  # fmt: skip
def test_each_rule_of_the_linter_catches_its_breach(text: str, found: str) -> None:
    assert wrong(text) == [found]


@pytest.mark.parametrize(
    "text",
    ["[[venue", VENUE.replace("confidence", "trust", 1), VENUE.replace('"official"', '"certain"', 1), VENUE + VENUE],
)  # fmt: skip
def test_what_is_no_fact_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        extended(built_in(), text, "mine.toml")


def test_a_request_may_name_venues_and_sites_of_the_registry() -> None:
    text = """
    venue = [{name = "binance-spot", usd_per_ms_month = 1, forbid_countries = ["US"]}, {name = "tiingo", usd_per_ms_month = 1}]
    site = [{name = "vultr:nrt", usd_month = 5}, {name = "aws:us-east-1", usd_month = 9, country = "CA"}]
    latency = [{venue = "binance-spot", site = "vultr:nrt", p50_ms = 2}]
    """
    made = parse_request(text, lambda request: completed(request, built_in(), find))
    assert (made.venue[0].lat, made.venue[1].lat) == (pytest.approx(35.7, abs=0.1), None)
    assert (made.site[0].provider, made.site[0].country) == ("vultr", "JP")
    assert made.site[1].country == "CA"
    assert site_named(built_in(), "vultr:moon", find) is None
