"""Tags hidden on the wire."""

import pytest

from nettrace.errors import Invalid
from nettrace.measure.packets.tag import TAG_LIMIT, TagCipher

SECRET = bytes(range(32))


def test_every_tag_comes_back() -> None:
    cipher = TagCipher(SECRET)
    for tag in [*range(2000), *range(0, TAG_LIMIT, 524_287), TAG_LIMIT - 1]:
        wire = cipher.hide(tag)
        assert 0 <= wire < TAG_LIMIT
        assert cipher.reveal(wire) == tag


def test_neighbouring_tags_share_nothing_on_the_wire() -> None:
    """Each of the 30 bits flips about half the time from one tag to the next."""
    cipher = TagCipher(SECRET)
    flips = [0] * 30
    for tag in range(4000):
        difference = cipher.hide(tag) ^ cipher.hide(tag + 1)
        for bit in range(30):
            flips[bit] += difference >> bit & 1
    assert all(1800 < count < 2200 for count in flips)


def test_another_secret_hides_otherwise() -> None:
    one, other = TagCipher(SECRET), TagCipher(SECRET[::-1])
    same = sum(one.hide(tag) == other.hide(tag) for tag in range(10_000))
    assert same == 0


def test_the_permutation_is_the_same_on_every_machine() -> None:
    """The processor's byte order must not leak into the tables: golden packets hold everywhere."""
    assert [TagCipher(SECRET).hide(tag) for tag in (0, 1, 2)] == [925470676, 297626907, 491315066]


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(Invalid, match="at least 16 bytes"):
        TagCipher(b"short")
