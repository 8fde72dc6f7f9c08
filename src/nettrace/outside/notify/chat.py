"""Rooms of people: Slack's and Discord's incoming webhooks, and Telegram's bots."""

import msgspec

from nettrace.analysis.alerts.rule import ChannelSpec
from nettrace.errors import ConfigError
from nettrace.outside.notify.message import Message
from nettrace.outside.notify.post import Answer, post
from nettrace.outside.notify.secret import address_of, secret

TELEGRAM = "https://api.telegram.org"
_DISCORD_MOST, _TELEGRAM_MOST = 2000, 4096
"""Characters of one message."""


def slack(name: str, spec: ChannelSpec, message: Message) -> Answer:
    """https://api.slack.com/messaging/webhooks: its three control characters are escaped, so no text can mention @all."""
    text = message.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _post(name, spec, {"text": text})


def discord(name: str, spec: ChannelSpec, message: Message) -> Answer:
    """https://discord.com/developers/docs/resources/webhook#execute-webhook, with every mention switched off."""
    return _post(name, spec, {"content": message.text[:_DISCORD_MOST], "allowed_mentions": {"parse": []}})


def telegram(name: str, spec: ChannelSpec, message: Message) -> Answer:
    """https://core.telegram.org/bots/api#sendmessage: the bot's token is part of the address."""
    if not spec.to:
        raise ConfigError(f"channel '{name}' has no chat", 'Write to = ["CHAT_ID"]')
    token = secret(spec.token, f"channel '{name}': token")
    url = f"{address_of(spec.url or TELEGRAM, name).rstrip('/')}/bot{token}/sendMessage"
    body = {
        "chat_id": spec.to[0],
        "text": message.text[:_TELEGRAM_MOST],
        "link_preview_options": {"is_disabled": True},
    }
    return post(url, msgspec.json.encode(body), {}, allow=spec.allow)


def _post(name: str, spec: ChannelSpec, body: object) -> Answer:
    return post(
        address_of(spec.url, f"channel '{name}': url"), msgspec.json.encode(body), {}, allow=spec.allow
    )
