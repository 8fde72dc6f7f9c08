"""The test plan as jobs that can be run: commands of NetTrace for each candidate site, and targets for own nodes."""

import shlex
from collections.abc import Iterator, Sequence

import msgspec

from nettrace.placement.document.brief import Brief
from nettrace.placement.document.seen import host_of_url
from nettrace.placement.request import Request


class Job(msgspec.Struct, frozen=True):
    """One command, without the program's name; it prints NDJSON."""

    words: tuple[str, ...]


class Effort(msgspec.Struct, frozen=True):
    """How much is sent: enough for an interval of the median, little enough to be polite."""

    pings: int = 30
    ping_gap_s: float = 1.0
    requests: int = 12
    request_gap_s: float = 1.0
    cold: int = 7


def jobs(
    request: Request, brief: Brief, effort: Effort | None = None, *, cold: bool = True
) -> tuple[Job, ...]:
    """What to run at a candidate site: round trips, requests on an open connection and on new ones, WebSocket pings."""
    effort = effort or Effort()
    made: list[Job] = []
    hosts = _each(brief.of_venue(venue.name).host for venue in request.venue)
    hosts += [
        host for venue in request.venue for host in brief.of_venue(venue.name).nearer if host not in hosts
    ]
    urls = _each(brief.of_venue(venue.name).url for venue in request.venue)
    live = _each(brief.of_venue(venue.name).ws for venue in request.venue)
    if hosts:
        made.append(_job("ping", "-n", effort.pings, "-i", effort.ping_gap_s, *hosts))
    if urls:
        made.append(_job("http", "--keepalive", "-n", effort.requests + 1, "-i", effort.request_gap_s, *urls))
        if cold:
            made.append(_job("http", "-n", effort.cold, "-i", effort.request_gap_s, *urls))
    if live:
        made.append(_job("ws", "-n", effort.requests, *live))
    return tuple(made)


def script(site: str, todo: Sequence[Job]) -> str:
    """The jobs of a site as a shell script; its results go to one file."""
    file = f"{file_name(site)}.ndjson"
    lines = [
        "#!/bin/sh",
        f"# Run this at {site}. Results: {file}. Failures are results too.",
        "set -u",
        f": > {file}",
    ]
    lines += [f"nettrace {shlex.join(job.words)} >> {file}" for job in todo]
    return "\n".join([*lines, f"wc -l {file}", ""])


def targets_file(request: Request, brief: Brief) -> str:
    """The same as targets that own nodes watch all day: for `nettrace targets import`."""
    parts = ["# For the hub: nettrace targets import targets.toml\n"]
    for host, url, names in _targets(request, brief):
        methods = ["icmp", "tcp", "trace"]
        if url:
            methods.append("ws" if url.startswith("ws") else "http")
        where = f'url = "{url}"\n' if url else ""
        parts.append(
            f'[[target]]\nhost = "{host}"\nname = "{names}"\ncategory = "Placement"\nsource = "the placement request"\n[[target.endpoint]]\nname = "main"\n'
            f'host = "{host}"\nrole = "api"\n{where}methods = {str(methods).replace(chr(39), chr(34))}\n'
        )
    return "\n".join(parts)


def _targets(request: Request, brief: Brief) -> Iterator[tuple[str, str | None, str]]:
    found: dict[str, tuple[str | None, list[str]]] = {}
    for venue in request.venue:
        note = brief.of_venue(venue.name)
        for host, url in (
            (note.host, None),
            (host_of_url(note.url), note.url),
            (host_of_url(note.ws), note.ws),
        ):
            if host is not None:
                known = found.setdefault(host, (url, []))
                found[host] = (
                    known[0] or url,
                    [*known[1], *([venue.name] if venue.name not in known[1] else [])],
                )
    for host, (url, names) in found.items():
        yield host, url, ", ".join(names)


def file_name(site: str) -> str:
    """A site's name as one of a file.

    >>> file_name("vultr:ewr")
    'vultr-ewr'
    """
    return "".join(letter if letter.isalnum() else "-" for letter in site).strip("-")


def _job(*words: object) -> Job:
    return Job((*(f"{word:g}" if isinstance(word, float) else str(word) for word in words), "-o", "ndjson"))


def _each(names: object) -> list[str]:
    return list(dict.fromkeys(name for name in names if name is not None))  # type: ignore[attr-defined]
