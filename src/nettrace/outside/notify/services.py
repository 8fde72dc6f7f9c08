"""Any of about a hundred services more, by the library Apprise. The only module that knows it.

Its URLs hold the credentials, so the channel's url is a reference. It makes its own connections: what `address` refuses
is not refused here, and the operator who writes such a channel answers for where it leads.
"""

from typing import Protocol, cast

from nettrace.analysis.alerts.rule import ChannelSpec
from nettrace.errors import ConfigError, MissingExtra, Unreachable
from nettrace.outside.notify.message import Message
from nettrace.outside.notify.post import Answer
from nettrace.outside.notify.secret import address_of


class _Service(Protocol):
    """What is used of `apprise.Apprise`; its own annotations leave types open."""

    def add(self, services: str) -> bool:
        """Take a service's URL."""
        ...

    def notify(self, body: str, title: str) -> object:
        """Truthy when every service took it."""
        ...


def send(name: str, spec: ChannelSpec, message: Message) -> Answer:
    """Hand the message over.

    Raises:
        MissingExtra: Apprise is not installed. ConfigError: it does not understand the url. Unreachable: not delivered.
    """
    try:
        import apprise  # noqa: PLC0415 - optional
    except ImportError as error:
        raise MissingExtra("notify", f"channel '{name}'") from error
    service = cast("_Service", apprise.Apprise())
    if not service.add(address_of(spec.url, f"channel '{name}': url")):
        raise ConfigError(
            f"channel '{name}': Apprise does not understand its url", "See the service's page of Apprise"
        )
    if not service.notify(title=message.subject, body=message.text):
        raise Unreachable(f"channel '{name}': the service did not take it", "It is tried again")
    return Answer(200, "")
