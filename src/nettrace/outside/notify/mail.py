"""E-mail over SMTP (RFC 5321), encrypted unless the operator says otherwise."""

import smtplib
import ssl
from email.message import EmailMessage

from nettrace.analysis.alerts.rule import ChannelSpec
from nettrace.errors import ConfigError, Unreachable
from nettrace.outside.notify.message import Message
from nettrace.outside.notify.post import TIMEOUT_S, Answer
from nettrace.outside.notify.secret import secret

_PORTS = {"starttls": 587, "tls": 465, "none": 25}


def send(name: str, spec: ChannelSpec, message: Message) -> Answer:
    """Hand the message to the channel's mail server; its status is the last of the conversation.

    Raises:
        ConfigError: the channel lacks something. Unreachable: the server does not answer or refuses.
    """
    if spec.tls not in _PORTS or not spec.host or not spec.to or not spec.sender:
        raise ConfigError(
            f"channel '{name}' needs host, sender, to, and tls one of {', '.join(_PORTS)}",
            "See docs/guides/alerts.md",
        )
    if spec.user and spec.tls == "none":
        raise ConfigError(
            f"channel '{name}' would send its password in the clear", "Use tls = 'starttls' or 'tls'"
        )
    port = spec.port or _PORTS[spec.tls]
    try:
        with _connected(spec, port) as server:
            if spec.user:
                server.login(spec.user, secret(spec.token, f"channel '{name}': token"))
            server.send_message(letter(spec, message))
    except (OSError, smtplib.SMTPException) as error:
        raise Unreachable(
            f"{spec.host}:{port} did not take the mail ({_said(error)})", "It is tried again"
        ) from error
    return Answer(250, "")


def letter(spec: ChannelSpec, message: Message) -> EmailMessage:
    """The mail. Its Message-ID stays the same at every attempt; mails of one incident make one thread."""
    made = EmailMessage()
    made["Subject"] = message.subject
    made["From"] = spec.sender
    made["To"] = ", ".join(spec.to)
    made["Message-ID"] = f"<{message.id}@nettrace>"
    made["References"] = f"<{message.incident['id']}@nettrace>"
    made["Auto-Submitted"] = "auto-generated"
    made.set_content(message.text)
    return made


def _connected(spec: ChannelSpec, port: int) -> smtplib.SMTP:
    if spec.tls == "tls":
        return smtplib.SMTP_SSL(spec.host, port, timeout=TIMEOUT_S, context=ssl.create_default_context())
    server = smtplib.SMTP(spec.host, port, timeout=TIMEOUT_S)
    if spec.tls == "starttls":
        try:
            server.starttls(context=ssl.create_default_context())
        except BaseException:
            server.close()
            raise
    return server


def _said(error: Exception) -> str:
    """What happened, without what the server repeated of our own words."""
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{error.smtp_code}"
    return type(error).__name__ if isinstance(error, smtplib.SMTPException) else str(error)
