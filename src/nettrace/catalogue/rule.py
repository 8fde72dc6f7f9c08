"""What a list of targets must hold to: the linter behind `nettrace targets check`."""

from collections import Counter
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

import msgspec

from nettrace.model.target import Endpoint, Lifecycle, Role, RoundMethod, Target

CATEGORIES = (
    "Quant APIs",
    "Crypto Exchanges",
    "Forex & Brokers",
    "NYSE & Financial",
    "Gov & Data",
    "Cloud Providers",
    "CDN & DNS",
)
"""The categories of the list that ships. A user's own may have others."""

_SCHEMES = {RoundMethod.HTTP: ("http", "https"), RoundMethod.WS: ("ws", "wss")}


class Finding(msgspec.Struct, frozen=True):
    """Something about a target that is wrong, or (`wrong` False) only doubtful."""

    target: str
    what: str
    wrong: bool = True


def findings(targets: Sequence[Target]) -> list[Finding]:
    """Everything that is not as it should be, in the list's order; empty is sound."""
    found: list[Finding] = []
    hosts = {target.host for target in targets}
    for host, count in Counter(target.host for target in targets).items():
        if count > 1:
            found.append(Finding(host, f"stands there {count} times"))
    for target in targets:
        found += (Finding(target.host, what) for what in _of_target(target))
        if target.replaced_by and target.replaced_by not in hosts:
            found.append(
                Finding(target.host, f"its successor {target.replaced_by} is not in the list", wrong=False)
            )
        for endpoint in target.endpoints:
            found += (
                Finding(target.host, f"endpoint {endpoint.name}: {what}") for what in _of_endpoint(endpoint)
            )
        if not target.source:
            found.append(Finding(target.host, "no source says where its facts come from", wrong=False))
    return found


def _of_target(target: Target) -> Iterator[str]:
    if not _host(target.host):
        yield "is not a host name or an address in its usual form"
    if not target.name.strip() or not target.category.strip():
        yield "needs a name and a category"
    if not target.endpoints:
        yield "has no endpoint"
    for name, count in Counter(endpoint.name for endpoint in target.endpoints).items():
        if count > 1:
            yield f"has {count} endpoints named '{name}'"
    if target.lifecycle is Lifecycle.RENAMED and not target.replaced_by:
        yield "is renamed, but to what (replaced_by)?"
    if target.lifecycle is not Lifecycle.ACTIVE and not target.note:
        yield f"is {target.lifecycle}: a note must say since when or why"
    if target.replaced_by == target.host:
        yield "is replaced by itself"


def _of_endpoint(endpoint: Endpoint) -> Iterator[str]:
    if not _host(endpoint.host):
        yield f"'{endpoint.host}' is not a host name or an address in its usual form"
    if not 0 < endpoint.port < 65_536:
        yield f"port {endpoint.port} is no port"
    if not endpoint.methods:
        yield "nothing measures it (methods is empty)"
    for status in endpoint.expect_status:
        if not 100 <= status < 600:
            yield f"{status} is no HTTP status"
    for method, schemes in _SCHEMES.items():
        if method in endpoint.methods and urlsplit(endpoint.url or "").scheme not in schemes:
            yield f"'{method}' rounds need a url that begins with {schemes[-1]}://"
    if endpoint.url is not None:
        yield from _of_url(endpoint)
    if RoundMethod.DNS in endpoint.methods and endpoint.role is not Role.RESOLVER:
        yield "'dns' rounds ask resolvers only"


def _of_url(endpoint: Endpoint) -> Iterator[str]:
    parts = urlsplit(endpoint.url or "")
    secure = parts.scheme in {"https", "wss"}
    try:
        port = parts.port or (443 if secure else 80)
    except ValueError:
        yield f"the url {endpoint.url} has an impossible port"
        return
    if parts.hostname != endpoint.host or port != endpoint.port:
        yield f"the url leads to {parts.hostname}:{port}, not to {endpoint.host}:{endpoint.port}"
    if parts.username or parts.password:
        yield "the url holds credentials"


def _host(text: str) -> bool:
    usual = text == text.strip().lower() and 0 < len(text) <= 253
    return usual and not any(sign in text for sign in " /@?#[]\\") and text.isascii() and text.isprintable()
