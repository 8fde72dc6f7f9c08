"""A session as requests begin, continue and end it: at the login, with each page, at the logout."""

import secrets
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Request

from nettrace.hub.link import HubWriter
from nettrace.hub.session import (
    COOKIE,
    LASTS_S,
    SEEN_EACH_S,
    Session,
    ended_with,
    held_with,
    opened,
    sealed,
    sessions_of,
)
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.web.hub import Hub
from nettrace.web.kept import kept

_MOST_LETTERS, _MOST_NOTED = 200, 1000


async def begun(hub: Hub, request: Request[Any, Any, Any], key_id: str) -> str:
    """A new session of a key, as its cookie has it."""
    now, name = hub.now(), secrets.token_urlsafe(12)
    address = request.client.host if request.client else ""
    made = Session(
        name=name, started=now, seen=now, ends_s=now // NS_PER_S + LASTS_S, address=address,
        agent=request.headers.get("user-agent", "")[:_MOST_LETTERS],
    )  # fmt: skip
    settings = await hub.readers.run(lambda reader: reader.settings())
    await hub.writer.call(HubWriter.put_setting, *held_with(settings, key_id, made, now), now)
    return sealed(key_id, hub.secret, now, name)


async def seen(hub: Hub, session: str, now: Instant) -> None:
    """Note that a page was asked for; at most every few minutes, by each worker."""
    known = opened(session, hub.secret, now) if session else None
    if known is None:
        return
    noted: dict[str, Instant] = kept(hub, "sessions seen", dict[str, Instant])
    if now - noted.get(known.name, 0) < SEEN_EACH_S * NS_PER_S:
        return
    while len(noted) >= _MOST_NOTED:
        noted.pop(next(iter(noted)), None)
    noted[known.name] = now
    settings = await hub.readers.run(lambda reader: reader.settings())
    found = next((each for each in sessions_of(settings, known.key, now) if each.name == known.name), None)
    if found is not None and now - found.seen >= SEEN_EACH_S * NS_PER_S:
        now_seen = msgspec.structs.replace(found, seen=now)
        await hub.writer.call(HubWriter.put_setting, *held_with(settings, known.key, now_seen, now), now)


async def end_own(hub: Hub, request: Request[Any, Any, Any]) -> None:
    """End the session a request comes with, if it is one: what was copied of its cookie is worth nothing then."""
    known = opened(request.cookies.get(COOKIE, ""), hub.secret, hub.now())
    if known is not None:
        await ended(hub, known.key, {known.name: known.ends_s})


async def ended(hub: Hub, key_id: str, names: Mapping[str, int]) -> None:
    """Let these sessions of a key be over now.

    Two workers that end sessions of the same key within the same milliseconds may undo one of both: the list shows it.
    """
    now = hub.now()
    settings = await hub.readers.run(lambda reader: reader.settings())
    await hub.writer.call(HubWriter.put_setting, *ended_with(settings, key_id, names, now), now)
