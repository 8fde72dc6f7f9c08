"""Answers that cost much and change little: kept for a while, a few for each hub."""

from collections.abc import Callable, Hashable
from typing import TypeVar, cast
from weakref import WeakKeyDictionary

from nettrace.web.hub import Hub

T = TypeVar("T")
_KEPT: WeakKeyDictionary[Hub, dict[Hashable, object]] = WeakKeyDictionary()
_MOST = 64


def kept(hub: Hub, key: Hashable, make: Callable[[], T]) -> T:
    """What was made under this key, or is made now. Who wants it anew after a minute puts the minute into the key."""
    mine = _KEPT.setdefault(hub, {})
    if key not in mine:
        made = make()
        while len(mine) >= _MOST:
            mine.pop(next(iter(mine)), None)
        mine[key] = made
    return cast(T, mine[key])
