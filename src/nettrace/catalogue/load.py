"""Reads lists of targets: the one that ships, and the user's own in the same form."""

import tomllib
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec

from nettrace.catalogue.rule import Finding, findings
from nettrace.errors import ConfigError
from nettrace.model.target import Endpoint, Role, RoundMethod, Target
from nettrace.runtime.named_file import read_text

BUILT_IN = Path(__file__).with_name("targets.toml")
_METHODS = (RoundMethod.ICMP, RoundMethod.TCP, RoundMethod.TRACE)


def built_in() -> list[Target]:
    """The targets that ship: 100 and more, in seven categories, the retired ones too."""
    return read(BUILT_IN.read_text(encoding="utf-8"), "targets.toml")


def read_file(path: str) -> list[Target]:
    """The targets of a user's file.

    Raises:
        ConfigError: it cannot be read, or something in it is wrong; every finding is named with its target.
    """
    targets = read(read_text(Path(path)), path)
    if not targets:
        raise ConfigError(f"{path} names no target", "Write [[target]] for each: docs/guides/targets.md")
    return targets


def read(text: str, where: str) -> list[Target]:
    """The targets in this TOML.

    >>> found = read("target = [{host = 'api.example', name = 'Example', category = 'Mine'}]", "example")
    >>> found[0].endpoints[0].methods
    (<RoundMethod.ICMP: 'icmp'>, <RoundMethod.TCP: 'tcp'>, <RoundMethod.TRACE: 'trace'>)

    Raises:
        ConfigError: as `read_file`.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: not TOML: {error}") from error
    _known(document, ("target",), where)
    rows = document.get("target", [])
    if not isinstance(rows, list):
        raise ConfigError(
            f"{where}: 'target' is one table", "Write [[target]] with two brackets, once for each"
        )
    targets = [_target(row, f"{where}: target {number}") for number, row in enumerate(rows, 1)]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    wrong = [finding for finding in findings(targets) if finding.wrong]
    if wrong:
        raise ConfigError(f"{where}: " + "; ".join(_words(finding) for finding in wrong[:10]))
    return targets


def merged(lists: Iterable[Iterable[Target]]) -> list[Target]:
    """One list of several: a later target replaces an earlier one of the same host."""
    by_host: dict[str, Target] = {}
    for targets in lists:
        by_host.update({target.host: target for target in targets})
    return list(by_host.values())


def plain_target(
    host: str, name: str | None = None, category: str = "Mine", url: str | None = None
) -> Target:
    """A target of which only the host is known, or a URL of it."""
    role = Role.API if url or not _address(host) else Role.WEB
    methods = _METHODS
    if url:
        methods = (*_METHODS, RoundMethod.WS if url.startswith("ws") else RoundMethod.HTTP)
    return Target(
        host=host, name=name or host, category=category, endpoints=(Endpoint(name="api", host=host, role=role, url=url, methods=methods),)
    )  # fmt: skip


def _target(row: Any, where: str) -> Target:
    if not isinstance(row, dict):
        raise ConfigError(f"{where} is not a table")
    fields: dict[str, Any] = dict(row)  # pyright: ignore[reportUnknownArgumentType]
    where = f"{where} ({fields.get('host', 'no host')})"
    fields["endpoints"] = fields.pop("endpoint", None) or [_plain_endpoint(fields)]
    _known(fields, Target.__struct_fields__, where)
    for each in fields["endpoints"]:
        if isinstance(each, dict):
            _known(each, Endpoint.__struct_fields__, f"{where}: endpoint {each.get('name', '?')}")  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
    try:
        return msgspec.convert(fields, Target, strict=True)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}") from error


def _plain_endpoint(fields: dict[str, Any]) -> dict[str, Any]:
    return {"name": "api", "host": fields.get("host"), "role": "api", "methods": list(_METHODS)}


def _known(fields: dict[str, Any], names: Iterable[str], where: str) -> None:
    for field in fields:
        if field not in names:
            close = get_close_matches(field, names, n=1)
            hint = f"Did you mean '{close[0]}'?" if close else f"There are: {', '.join(names)}"
            raise ConfigError(f"{where}: unknown field '{field}'", hint)


def _words(finding: Finding) -> str:
    return f"{finding.target}: {finding.what}"


def _address(host: str) -> bool:
    return host.replace(".", "").isdigit() or ":" in host
