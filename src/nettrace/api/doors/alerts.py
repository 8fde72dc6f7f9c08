"""Alerts of an account: rules, the incidents they open, the channels that are told, and silences."""

import asyncio
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec

from nettrace.api import asked, schema
from nettrace.api.asked import Paged, Tabled
from nettrace.api.call import Call
from nettrace.api.given import Answer
from nettrace.api.idempotent import identifier
from nettrace.api.operation import NoQuery, Operation
from nettrace.errors import Conflict, Forbidden, IdempotencyMismatch, NotFound
from nettrace.hub import custom, keys, shelf
from nettrace.hub.link import HubWriter
from nettrace.hub.shelf import CHANNEL, RULE, SILENCE, Entry, Shelf
from nettrace.model.account import Feature, Scope
from nettrace.model.address import inside
from nettrace.model.alert import Incident, IncidentState, Order
from nettrace.model.instant import Instant, rfc3339
from nettrace.outside.notify.channel import Fate
from nettrace.outside.notify.message import Message, example, incident_document, notice_document
from nettrace.store.rows import Audit

READ_BACK = 10_000
"""Incidents looked through for those of one account, newest first."""


# -- rules
async def rules(call: Call) -> Answer:
    """The account's rules."""
    held = await _shelf(call)
    rows = [_rule(held, call, name) for name in held.of(RULE)]
    return Answer(content=schema.Page[schema.RuleShape](data=rows), fresh_s=None)


async def put_rule(call: Call) -> Answer:
    """Make a rule, or put it in the place of the one of its name."""
    body: dict[str, Any] = msgspec.to_builtins(call.body)
    made = await _put(call, RULE, str(body.pop("name")), body)
    return Answer(content=_rule(made, call, call.body.name), status=201, fresh_s=None)


async def rule(call: Call) -> Answer:
    """One rule, with everything filled in."""
    held = await _shelf(call)
    return Answer(content=_rule(held, call, held.found(RULE, call.path["name"]).name), fresh_s=None)


async def drop_rule(call: Call) -> Answer:
    """Take a rule away; it lets go of its incidents."""
    held = await _shelf(call)
    shown = _rule(held, call, held.found(RULE, call.path["name"]).name)
    await _put(call, RULE, call.path["name"], None)
    return Answer(content=shown, fresh_s=None)


def _rule(held: Shelf, call: Call, name: str) -> schema.RuleShape:
    book = held.book(call.service.data.secrets)
    found = next(each for each in book.rule if each.name == name)
    return msgspec.convert(msgspec.to_builtins(found), schema.RuleShape)


# -- channels
async def channels(call: Call) -> Answer:
    """The account's channels, without their secrets."""
    rows = [_channel(each) for each in (await _shelf(call)).of(CHANNEL).values()]
    return Answer(content=schema.Page[schema.ChannelShape](data=rows), fresh_s=None)


async def put_channel(call: Call) -> Answer:
    """Make a channel, or put it in the place of the one of its name; a webhook's signing secret is shown this once."""
    body: dict[str, Any] = msgspec.to_builtins(call.body)
    name = str(body.pop("name"))
    body = shelf.posted(body, operator=shelf.operates(call.caller))
    await _reachable(call, body)
    held = await _shelf(call)
    before = held.of(CHANNEL).get(name)
    if before is not None and before.body == body:  # the same again is the same channel
        return Answer(content=_channel(before), status=201, fresh_s=None)
    secret, kept = None, ""
    if body["kind"] == "webhook":
        secret, kept = await asyncio.to_thread(shelf.new_secret, call.service.data.secrets)
    made = await _put(call, CHANNEL, name, body, kept)
    return Answer(content=_channel(made.found(CHANNEL, name), secret), status=201, fresh_s=None)


async def _reachable(call: Call, body: dict[str, Any]) -> None:
    """Refuse an address of inside at once; it is checked again whenever something is sent."""
    host = custom.plain_host(urlsplit(str(body["url"])).hostname or "", "url")
    why = inside(custom.literal(host) or await call.service.resolve(host), body.get("allow") or ())
    if why is not None:
        raise Forbidden(f"'{host}' leads to {why}", "Only operators open private networks: allow")


async def drop_channel(call: Call) -> Answer:
    """Take a channel away that no rule names."""
    found = (await _shelf(call)).found(CHANNEL, call.path["name"])
    await _put(call, CHANNEL, found.name, None)
    return Answer(content=_channel(found), fresh_s=None)


async def test_channel(call: Call) -> Answer:
    """Send a test notice now, once."""
    held = await _shelf(call)
    name = held.found(CHANNEL, call.path["name"]).name
    spec = held.book(call.service.data.secrets).channel[name]
    document = msgspec.json.decode(notice_document(example(call.now), "A test: nothing is wrong."))
    message = Message(id=keys.identifier("msg_test_"), document=document)
    receipt = await asyncio.to_thread(call.service.deliver, name, spec, message, call.now)
    return Answer(
        content=schema.ChannelTest(
            channel=name, delivered=receipt.fate is Fate.DELIVERED, detail=receipt.detail
        ),
        fresh_s=None,
    )


def _channel(entry: Entry, secret: str | None = None) -> schema.ChannelShape:
    body = entry.body or {}
    return schema.ChannelShape(
        name=entry.name, kind=str(body.get("kind")), host=urlsplit(str(body.get("url"))).hostname or "",
        least_severity=str(body.get("least_severity") or "info"), allow=list(body.get("allow") or ()),
        created_at=rfc3339(entry.at), secret=secret,
    )  # fmt: skip


# -- silences
async def silences(call: Call) -> Answer:
    """The account's silences, over ones too."""
    rows = [_silence(each) for each in (await _shelf(call)).of(SILENCE).values()]
    return Answer(content=schema.Page[schema.SilenceShape](data=rows), fresh_s=None)


async def add_silence(call: Call) -> Answer:
    """Judge nothing of this for a while."""
    wanted: schema.SilenceAsk = call.body
    start = asked.instant(wanted.start, "start", "body")
    end = asked.instant(wanted.end, "end", "body")
    body = {**msgspec.to_builtins(wanted), "start": rfc3339(start), "end": rfc3339(end)}
    name = identifier(call, "sil_") or keys.identifier("sil_")
    before = (await _shelf(call)).of(SILENCE).get(name)
    if before is not None and before.body != body:
        raise IdempotencyMismatch("this Idempotency-Key came with another silence before", "Use a new key")
    made = await _put(call, SILENCE, name, body)
    return Answer(content=_silence(made.found(SILENCE, name)), status=201, fresh_s=None)


async def drop_silence(call: Call) -> Answer:
    """End a silence."""
    found = (await _shelf(call)).found(SILENCE, call.path["id"])
    await _put(call, SILENCE, found.name, None)
    return Answer(content=_silence(found), fresh_s=None)


def _silence(entry: Entry) -> schema.SilenceShape:
    return schema.SilenceShape(id=entry.name, **(entry.body or {}))


# -- incidents
class IncidentsQuery(Paged, frozen=True, kw_only=True):
    """Which incidents."""

    state: Annotated[
        tuple[IncidentState, ...], msgspec.Meta(description="`open,acknowledged,closed`; all when left out.")
    ] = ()


async def incidents(call: Call) -> Answer:
    """Incidents of the account's rules, newest first; operators see those of the hub's own rules besides."""
    wanted: IncidentsQuery = call.query
    after = asked.position(call, tuple[Instant, str])
    found = [each for each in await _incidents(call, wanted.state) if after is None or _place(each) < after]
    page, more = found[: wanted.limit], len(found) > wanted.limit
    cursor = asked.sealed(call, _place(page[-1])) if more else None
    rows = [_incident(each) for each in page]
    return Answer(
        content=schema.Page[schema.IncidentShape](data=rows, has_more=more, next_cursor=cursor),
        next_cursor=cursor,
        fresh_s=None,
    )


async def incident(call: Call) -> Answer:
    """One incident, with why it is there."""
    return Answer(content=_incident(await _one(call)), fresh_s=None)


async def acknowledge(call: Call) -> Answer:
    """Say that an incident is somebody's: no repetition, no escalation."""
    return await _order(call, "ack")


async def close(call: Call) -> Answer:
    """End an incident by hand; what still holds opens no other one before it was over."""
    return await _order(call, "close")


async def _order(call: Call, action: str) -> Answer:
    found = await _one(call)
    if found.state is IncidentState.CLOSED:
        raise Conflict(f"{found.id} is closed already", "See /api/v1/alerts/incidents?state=open")
    actor = call.caller.key or call.caller.account
    order = Order(action=action, subject=found.id, actor=actor, at=call.now)
    await call.service.writer.call(HubWriter.put_alert_order, order)
    await _note(call, f"incident.{action}", found.id)
    return Answer(content=_incident(found), status=202, fresh_s=None)


async def _one(call: Call) -> Incident:
    wanted = call.path["id"]
    found = next((each for each in await _incidents(call, ()) if each.id == wanted), None)
    if found is None:
        raise NotFound(f"no incident '{wanted[:60]}'", "See /api/v1/alerts/incidents")
    return found


async def _incidents(call: Call, states: tuple[IncidentState, ...]) -> list[Incident]:
    every = await call.service.readers.run(lambda reader: reader.incidents(states=states, limit=READ_BACK))
    own = {call.caller.account, None} if shelf.operates(call.caller) else {call.caller.account}
    return sorted((each for each in every if each.account in own), key=_place, reverse=True)


def _place(each: Incident) -> tuple[Instant, str]:
    return each.opened_at, each.id


def _incident(found: Incident) -> schema.IncidentShape:
    return msgspec.convert(msgspec.to_builtins(incident_document(found)), schema.IncidentShape)


# -- what all of them need
async def _shelf(call: Call) -> Shelf:
    settings = await call.service.readers.run(lambda reader: reader.settings())
    return shelf.shelf_of(settings, call.caller.account)


async def _put(call: Call, kind: str, name: str, body: dict[str, Any] | None, secret: str = "") -> Shelf:
    """The shelf with this entry, checked and stored."""
    entry = Entry(account=call.caller.account, kind=kind, name=name, body=body, at=call.now, secret=secret)
    made = (await _shelf(call)).beside(entry, call.service.data.secrets)
    setting, content = shelf.setting_of(entry)
    await call.service.writer.call(HubWriter.put_setting, setting, content, call.now)
    await _note(call, f"alert.{kind}.{'remove' if body is None else 'put'}", name)
    return made


async def _note(call: Call, action: str, subject: str) -> None:
    actor = call.caller.key or call.caller.account
    note = Audit(at=call.now, actor=actor, action=action, subject=subject, outcome="done")
    await call.service.writer.call(HubWriter.put_audit, note)


def _operation(id: str, method: Any, path: str, **more: Any) -> Operation:  # noqa: A002
    """One of this room: a feature of the tier; whoever changes something needs the scope too."""
    return Operation(
        id=id, method=method, path=f"/api/v1/alerts{path}", tag="Alerts", feature=Feature.ALERTS,
        scope=Scope.READ if method == "GET" else Scope.ALERTS, conditional=False,
        example=more.pop("example", f"/api/v1/alerts{path}"), query=more.pop("query", NoQuery), **more,
    )  # fmt: skip


_A_RULE = {"name": "slow", "preset": "derived", "targets": ["api.example.com"], "k": 2, "for": "5m"}
_A_CHANNEL = {"name": "desk", "kind": "webhook", "url": "https://alerts.example.net/nettrace"}
_A_SILENCE = {"start": "2026-11-28T02:00:00Z", "end": "2026-11-28T04:00:00Z", "targets": ["api.example.com"]}

OPERATIONS = (
    _operation(
        "listAlertRules", "GET", "/rules", handler=rules, query=Tabled, answer=schema.Page[schema.RuleShape],
        summary="Your rules, with everything filled in",
    ),
    _operation(
        "putAlertRule", "POST", "/rules", handler=put_rule, body=schema.RuleAsk, answer=schema.RuleShape, status=201,
        summary="A rule, or another one in its place", example_body=_A_RULE,
        description="The words are those of `alerts.toml`. A rule without `channels` tells all of yours.",
    ),
    _operation(
        "getAlertRule", "GET", "/rules/{name}", handler=rule, answer=schema.RuleShape, summary="One rule",
        example="/api/v1/alerts/rules/{rule}",
    ),
    _operation(
        "dropAlertRule", "DELETE", "/rules/{name}", handler=drop_rule, answer=schema.RuleShape,
        summary="Take a rule away", example="/api/v1/alerts/rules/{rule}",
    ),
    _operation(
        "listIncidents", "GET", "/incidents", handler=incidents, query=IncidentsQuery,
        answer=schema.Page[schema.IncidentShape], summary="Incidents of your rules, newest first",
    ),
    _operation(
        "getIncident", "GET", "/incidents/{id}", handler=incident, answer=schema.IncidentShape, summary="One incident",
        example="/api/v1/alerts/incidents/{incident}",
    ),
    _operation(
        "acknowledgeIncident", "POST", "/incidents/{id}/ack", handler=acknowledge, answer=schema.IncidentShape, status=202,
        summary="It is yours: no repetition, no escalation; within a second", example="/api/v1/alerts/incidents/{incident}/ack",
    ),
    _operation(
        "closeIncident", "POST", "/incidents/{id}/close", handler=close, answer=schema.IncidentShape, status=202,
        summary="End an incident by hand; within a second", example="/api/v1/alerts/incidents/{incident}/close",
    ),
    _operation(
        "listAlertChannels", "GET", "/channels", handler=channels, query=Tabled,
        answer=schema.Page[schema.ChannelShape], summary="Your channels, without their secrets",
    ),
    _operation(
        "putAlertChannel", "POST", "/channels", handler=put_channel, body=schema.ChannelAsk, answer=schema.ChannelShape,
        status=201, summary="A channel; a webhook's signing secret is shown once", example_body=_A_CHANNEL,
        description="Addresses of inside are refused, when it is made and whenever something is sent; redirects are not "
        "followed. Kinds that need a password or a server of yours are made by the operator in `alerts.toml`.",
    ),
    _operation(
        "dropAlertChannel", "DELETE", "/channels/{name}", handler=drop_channel, answer=schema.ChannelShape,
        summary="Take a channel away", example="/api/v1/alerts/channels/{channel}",
    ),
    _operation(
        "testAlertChannel", "POST", "/channels/{name}/test", handler=test_channel, answer=schema.ChannelTest,
        summary="Send a test notice now", example="/api/v1/alerts/channels/{channel}/test",
    ),
    _operation(
        "listSilences", "GET", "/silences", handler=silences, query=Tabled, answer=schema.Page[schema.SilenceShape],
        summary="Your silences",
    ),
    _operation(
        "addSilence", "POST", "/silences", handler=add_silence, body=schema.SilenceAsk, answer=schema.SilenceShape,
        status=201, summary="Judge nothing of this for a while", example_body=_A_SILENCE,
    ),
    _operation(
        "dropSilence", "DELETE", "/silences/{id}", handler=drop_silence, answer=schema.SilenceShape,
        summary="End a silence", example="/api/v1/alerts/silences/{silence}",
    ),
)  # fmt: skip
