"""What both clients offer, said once: the base of `Client` and `AsyncClient`.

A method has the name, the parameters and the words of the function of `calls`, `jobs` or their like that describes it. Asked of
a `Client` it gives what the hub answered, asked of an `AsyncClient` a coroutine of that; type checkers know which is which.
"""

import inspect
from collections.abc import Callable, Coroutine
from functools import update_wrapper
from types import MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

import msgspec

from nettrace.client import alerts, calls, exchange, jobs, placement
from nettrace.client import fleet as fleets
from nettrace.client import forecast as forecasts
from nettrace.client.call import Call, Rows
from nettrace.client.exchange import Link, Program

if TYPE_CHECKING:
    from nettrace.client import asynchronous, blocking

P = ParamSpec("P")
T = TypeVar("T")
Row = TypeVar("Row", bound=msgspec.Struct)


class _Method:
    """A function as a method: bound to a client, or as it reads on the class."""

    def __init__(self, described: Callable[..., Any], does: Callable[..., Any]) -> None:
        taken = [each for name, each in inspect.signature(described).parameters.items() if name != "link"]
        first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        update_wrapper(does, described)
        setattr(does, "__signature__", inspect.Signature([first, *taken]))  # noqa: B010
        self._does = does

    def bound(self, client: "Offered | None") -> Any:
        """The function itself, or with its client."""
        return self._does if client is None else MethodType(self._does, client)


class _Answered(_Method, Generic[P, T]):
    """What comes to one answer: at once of a `Client`, awaited of an `AsyncClient`."""

    @overload
    def __get__(self, client: None, owner: type) -> Callable[..., Any]: ...
    @overload
    def __get__(self, client: "blocking.Client", owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(
        self, client: "asynchronous.AsyncClient", owner: type
    ) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        """Bound, as any method is."""
        return self.bound(client)


class One(_Answered[P, T]):
    """One request and its answer."""

    def __init__(self, described: Callable[P, Call[T]]) -> None:
        def does(client: "Offered", *args: P.args, **named: P.kwargs) -> Any:
            return client.run(exchange.answered(client.link, described(*args, **named)))

        super().__init__(described, does)


class Listed(_Method, Generic[P, Row]):
    """A list that comes in pages."""

    def __init__(self, described: Callable[P, Rows[Row]]) -> None:
        def does(client: "Offered", *args: P.args, **named: P.kwargs) -> Any:
            return client.listed(described(*args, **named))

        super().__init__(described, does)

    @overload
    def __get__(self, client: None, owner: type) -> Callable[..., Any]: ...
    @overload
    def __get__(self, client: "blocking.Client", owner: type) -> "Callable[P, blocking.Rows[Row]]": ...
    @overload
    def __get__(
        self, client: "asynchronous.AsyncClient", owner: type
    ) -> "Callable[P, asynchronous.AsyncRows[Row]]": ...
    def __get__(self, client: Any, owner: type) -> Any:
        """Bound, as any method is."""
        return self.bound(client)


class Job(_Answered[P, T]):
    """Several requests that come to one thing."""

    def __init__(self, described: Callable[Concatenate[Link, P], Program[T]]) -> None:
        def does(client: "Offered", *args: P.args, **named: P.kwargs) -> Any:
            return client.run(described(client.link, *args, **named))

        super().__init__(described, does)


class Offered:
    """The methods of both clients; what a client adds is how it waits: `run`, `listed` and `stream`."""

    link: Link

    def run(self, program: Program[Any]) -> Any:
        """What a program comes to, or a coroutine of it."""
        raise NotImplementedError

    def listed(self, listing: Rows[Any]) -> Any:
        """The rows of a list, fetched as they are iterated over."""
        raise NotImplementedError

    targets = Listed(calls.targets)
    target = One(calls.target)
    custom_targets = One(calls.custom_targets)
    add_custom_target = One(calls.add_custom_target)
    remove_custom_target = One(calls.remove_custom_target)
    vantages = Listed(calls.vantages)
    vantage = One(calls.vantage)
    latency = One(calls.latency)
    history = Listed(calls.history)
    forecast = One(forecasts.forecast)
    rounds = Listed(calls.rounds)
    round = One(calls.round)
    raw = Listed(calls.raw)
    routes = One(calls.routes)
    route_changes = Listed(calls.route_changes)
    rankings = One(calls.rankings)
    compare = One(calls.compare)
    signals = Listed(calls.signals)
    signal_summary = One(calls.signal_summary)
    signal_record = One(calls.signal_record)
    events = Listed(calls.events)
    event = One(calls.event)
    mesh = One(fleets.mesh)
    mesh_pair = One(fleets.mesh_pair)
    fleet = One(fleets.fleet)
    place = One(placement.place)
    claims = One(placement.claims)
    alert_rules = One(alerts.alert_rules)
    alert_rule = One(alerts.alert_rule)
    put_alert_rule = One(alerts.put_alert_rule)
    drop_alert_rule = One(alerts.drop_alert_rule)
    channels = One(alerts.channels)
    put_channel = One(alerts.put_channel)
    drop_channel = One(alerts.drop_channel)
    test_channel = One(alerts.test_channel)
    silences = One(alerts.silences)
    add_silence = One(alerts.add_silence)
    drop_silence = One(alerts.drop_silence)
    incidents = Listed(alerts.incidents)
    incident = One(alerts.incident)
    acknowledge = One(alerts.acknowledge)
    close_incident = One(alerts.close_incident)
    measure = Job(jobs.measure)
    measure_cost = Job(jobs.measure_cost)
    create_measurement = One(calls.create_measurement)
    measurement = One(calls.measurement)
    measurements = Listed(calls.measurements)
    export = Job(jobs.export)
    export_cost = Job(jobs.export_cost)
    create_export = One(calls.create_export)
    export_state = One(calls.export_state)
    exports = Listed(calls.exports)
    download = Job(jobs.download)
    limits = One(calls.limits)
    usage = One(calls.usage)
    keys = One(calls.keys)
    create_key = One(calls.create_key)
    revoke_key = One(calls.revoke_key)
