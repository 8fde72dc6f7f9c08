"""Methods of both clients from one description: the name, the parameters and the words of a function of `calls` or `jobs`."""

import inspect
from collections.abc import Callable
from functools import update_wrapper
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, cast, overload

P = ParamSpec("P")
Asker = TypeVar("Asker")
Given = TypeVar("Given")


class Method(Generic[Asker, P, Given]):
    """A method that takes what `described` takes and gives what `does` makes of it."""

    def __init__(self, described: Callable[..., Any], does: Callable[Concatenate[Asker, P], Given]) -> None:
        taken = [each for name, each in inspect.signature(described).parameters.items() if name != "link"]
        first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        update_wrapper(does, described)
        setattr(does, "__signature__", inspect.Signature([first, *taken]))  # noqa: B010
        self._does = does

    @overload
    def __get__(self, client: None, owner: type) -> Callable[Concatenate[Asker, P], Given]: ...
    @overload
    def __get__(self, client: Asker, owner: type) -> Callable[P, Given]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        """Bound to a client, as any method is."""
        return self._does if client is None else cast("Callable[P, Given]", MethodType(self._does, client))
