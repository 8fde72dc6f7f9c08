"""A request is believed only with the right key, for that method, path, time and body."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nettrace.model.instant import NS_PER_S
from nettrace.wire.signing import LEEWAY_NS, SIGNATURE_HEADER, TIME_HEADER, genuine, key_of, signed, timely

NOW = 1_767_225_600 * NS_PER_S
REQUEST = ("POST", "/api/v1/nodes/report")


@settings(deadline=None)
@given(st.text(), st.binary(), st.integers(0, 2**62))
def test_what_was_signed_is_genuine_and_nothing_else(secret: str, body: bytes, at: int) -> None:
    headers = signed("nd", key_of(secret), REQUEST, at, body)
    lower = {name.lower(): value for name, value in headers.items()}
    assert genuine(key_of(secret), REQUEST, headers, body)
    assert genuine(key_of(secret), REQUEST, lower, body)
    assert not genuine(key_of(secret + "x"), REQUEST, headers, body)
    assert not genuine(key_of(secret), ("GET", REQUEST[1]), headers, body)
    assert not genuine(key_of(secret), (REQUEST[0], "/api/v1/nodes/work"), headers, body)
    assert not genuine(key_of(secret), REQUEST, headers, body + b"x")
    assert not genuine(key_of(secret), REQUEST, headers | {TIME_HEADER: str(at + 1)}, body)


@pytest.mark.parametrize("text", ["", "x", "-5", "1e9", "9" * 30, "\uff11\uff17"])
def test_a_time_that_is_no_number_is_refused(text: str) -> None:
    headers = signed("nd", key_of("s"), REQUEST, NOW) | {TIME_HEADER: text}
    assert not genuine(key_of("s"), REQUEST, headers)
    assert not timely(headers, NOW)


def test_headers_that_are_missing_or_strange_are_refused() -> None:
    assert not genuine(key_of("s"), REQUEST, {})
    assert not genuine(
        key_of("s"), REQUEST, signed("nd", key_of("s"), REQUEST, NOW) | {SIGNATURE_HEADER: "é\ud800"}
    )


def test_an_old_request_is_worth_nothing() -> None:
    headers = signed("nd", key_of("s"), REQUEST, NOW)
    assert timely(headers, NOW + LEEWAY_NS)
    assert timely(headers, NOW - LEEWAY_NS)
    assert not timely(headers, NOW + LEEWAY_NS + 1)
    assert not timely(headers, NOW - LEEWAY_NS - 1)
