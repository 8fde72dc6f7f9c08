"""Webhooks as https://www.standardwebhooks.com says: an id, a time, and a signature under every secret there is."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence

import msgspec

from nettrace.analysis.alerts.rule import ChannelSpec
from nettrace.errors import ConfigError
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.outside.notify.message import Message
from nettrace.outside.notify.post import Answer, post
from nettrace.outside.notify.secret import address_of, secret


def send(name: str, spec: ChannelSpec, message: Message, now: Instant) -> Answer:
    """Post the message, signed. Without secrets it goes unsigned."""
    body = msgspec.json.encode(
        {"type": f"incident.{message.kind}", "timestamp": message.document["at"], "data": message.document}
    )
    keys = [secret(reference, f"channel '{name}': a secret") for reference in spec.secrets]
    headers = signed(message.id, now // NS_PER_S, body, keys)
    return post(address_of(spec.url, f"channel '{name}': url"), body, headers, allow=spec.allow)


def signed(message: str, time_s: int, body: bytes, secrets: Sequence[str]) -> Mapping[str, str]:
    """The headers: `webhook-signature` has one `v1,BASE64` for each secret, so that secrets can be changed at leisure.

    The specification's own example:

    >>> body = b'{"test": 2432232314}'
    >>> signed("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])["webhook-signature"]
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='

    Raises:
        ConfigError: a secret is not `whsec_` and base64.
    """
    headers = {"webhook-id": message, "webhook-timestamp": str(time_s)}
    content = f"{message}.{time_s}.".encode() + body
    made: list[str] = []
    for text in secrets:
        try:
            key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
        except binascii.Error as error:
            raise ConfigError(
                "a webhook's secret is not whsec_ and base64", "Make one: openssl rand -base64 32"
            ) from error
        made.append("v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode())
    return {**headers, "webhook-signature": " ".join(made)} if made else headers
