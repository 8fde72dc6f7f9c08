"""One message to one channel: whichever service it is, the receipt says the same three things."""

from collections.abc import Callable, Mapping
from enum import StrEnum

import msgspec

from nettrace.analysis.alerts.rule import ChannelSpec
from nettrace.errors import NetTraceError
from nettrace.model.instant import Instant
from nettrace.outside.notify import chat, duty, mail, services, webhook
from nettrace.outside.notify.message import Message
from nettrace.outside.notify.post import Answer


class Fate(StrEnum):
    """What became of an attempt. `GONE`: the endpoint says that it wants nothing any more (410)."""

    DELIVERED = "delivered"
    FAILED = "failed"
    GONE = "gone"


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt came to; `detail` never holds a secret."""

    fate: Fate
    detail: str = ""
    retry_after_s: float | None = None


_KINDS: Mapping[str, Callable[[str, ChannelSpec, Message], Answer]] = {
    "slack": chat.slack,
    "discord": chat.discord,
    "telegram": chat.telegram,
    "pagerduty": duty.pagerduty,
    "alertmanager": duty.alertmanager,
    "email": mail.send,
    "apprise": services.send,
}


def deliver(name: str, spec: ChannelSpec, message: Message, now: Instant) -> Receipt:
    """Try once. Whatever goes wrong is in the receipt: nothing is raised that a receiver or a file could cause."""
    try:
        if spec.kind == "webhook":
            answer = webhook.send(name, spec, message, now)
        else:
            answer = _KINDS[spec.kind](name, spec, message)
    except NetTraceError as error:
        return Receipt(fate=Fate.FAILED, detail=str(error))
    if 200 <= answer.status < 300:
        return Receipt(fate=Fate.DELIVERED)
    fate = Fate.GONE if answer.status == 410 else Fate.FAILED
    return Receipt(fate=fate, detail=f"answered {answer.status}", retry_after_s=answer.retry_after_s)
