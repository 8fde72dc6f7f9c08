"""Sessions as their owner sees and ends them."""

import msgspec

from nettrace.errors import NotFound
from nettrace.hub.access import Caller
from nettrace.hub.session import Opened, Session, opened, sessions_of
from nettrace.model.account import Scope
from nettrace.web.door import Visit
from nettrace.web.sign_in import ended


class SessionLine(msgspec.Struct, frozen=True):
    """A session in the account's list."""

    key: str
    session: Session
    mine: bool


async def listed(visit: Visit, caller: Caller) -> list[SessionLine]:
    """The sessions this visitor may see and end: of their key, and with the scope for keys of all the account's."""
    if caller.key is None:
        return []
    known = _own(visit)

    held, settings = await visit.hub.readers.run(
        lambda reader: (reader.keys(caller.account), reader.settings())
    )
    ids = [key.id for key in held if key.id == caller.key or Scope.KEYS in caller.scopes]
    return [
        SessionLine(key_id, each, known is not None and each.name == known.name)
        for key_id in sorted(ids, key=lambda key_id: key_id != caller.key)
        for each in sessions_of(settings, key_id, visit.now)
    ]


async def end(visit: Visit, caller: Caller, name: str | None) -> None:
    """End one of the visitor's sessions, or without a name all but this one.

    Raises:
        NotFound: there is none of this name.
    """
    lines = await listed(visit, caller)
    chosen = [line for line in lines if (line.session.name == name if name else not line.mine)]
    if name and not chosen:
        raise NotFound("this session is over already", "Load /account again to see those there are")
    for key_id in {line.key for line in chosen}:
        names = {line.session.name: line.session.ends_s for line in chosen if line.key == key_id}
        await ended(visit.hub, key_id, names)


def _own(visit: Visit) -> Opened | None:
    return opened(visit.session, visit.hub.secret, visit.now) if visit.session else None
