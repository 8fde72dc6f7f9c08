"""Doing a plan: step after step, next place when one is full, and what failed does not stop the others."""

from collections.abc import Callable, Mapping

import msgspec

from nettrace.errors import NetTraceError
from nettrace.outside.providers.port import NoCapacity, Order, Provider, Secret
from nettrace.placement.fleet import Machine, Plan, Step, Wanted


class Done(msgspec.Struct, frozen=True):
    """What became of a plan.

    Attributes:
        made: machines that run now.
        failed: names and reasons of those that do not; the next apply tries them again.
    """

    made: tuple[Machine, ...]
    failed: tuple[tuple[str, str], ...]


def apply(
    plan: Plan,
    providers: Mapping[str, Provider],
    node: Callable[[Wanted, str], tuple[str, ...]],
    token: Callable[[str], Secret],
    say: Callable[[str], None],
) -> Done:
    """Take the steps.

    Args:
        plan: as shown and confirmed.
        providers: by name, all those the plan needs.
        node: arguments of `nettrace node` for a machine at a place.
        token: a new one-time enrolment token for a vantage; asked once a machine, right before it is made.
        say: told what happens, a line at a time.
    """
    made: list[Machine] = []
    failed: list[tuple[str, str]] = []
    for step in plan.steps:
        try:
            made.append(_take(step, providers[step.wanted.provider], node, token, say))
        except NetTraceError as problem:
            failed.append((step.wanted.name, str(problem)))
            say(f"{step.wanted.name}: {problem}")
    return Done(tuple(made), tuple(failed))


def _take(
    step: Step,
    provider: Provider,
    node: Callable[[Wanted, str], tuple[str, ...]],
    token: Callable[[str], Secret],
    say: Callable[[str], None],
) -> Machine:
    if step.kind == "start" and step.machine is not None:
        provider.start(step.machine)
        say(f"{step.wanted.name}: started in {step.machine.place}")
        return step.machine
    secret = token(step.wanted.code)
    for place in step.wanted.places:
        try:
            machine = provider.create(Order(step.wanted, node(step.wanted, place), secret), place)
        except NoCapacity as full:
            say(f"{step.wanted.name}: no room in {place} ({full.detail})")
            continue
        say(f"{step.wanted.name}: {machine.state} in {machine.place}")
        return machine
    raise NoCapacity(
        f"none of {', '.join(step.wanted.places)} has room", "Name more regions, or apply again later"
    )
