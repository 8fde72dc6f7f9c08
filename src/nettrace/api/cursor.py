"""Cursors: opaque, signed, and good only for the question they came from."""

import base64
import binascii
import hashlib
import hmac
from typing import Any, TypeVar

import msgspec

from nettrace.api.problems import BadRequest, Fault

T = TypeVar("T")
_SIGNATURE_BYTES = 12


def seal(secret: bytes, question: str, position: Any) -> str:
    """A cursor for a position within the answers to a question.

    >>> unseal(b"k", "rounds?host=a", seal(b"k", "rounds?host=a", (5, "x")), tuple[int, str])
    (5, 'x')
    """
    body = msgspec.msgpack.encode(position)
    return base64.urlsafe_b64encode(_sign(secret, question, body) + body).rstrip(b"=").decode()


def unseal(secret: bytes, question: str, cursor: str, shape: type[T]) -> T:
    """The position a cursor stands for.

    Raises:
        BadRequest: it was not made here, or for another question.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        body = raw[_SIGNATURE_BYTES:]
        if hmac.compare_digest(raw[:_SIGNATURE_BYTES], _sign(secret, question, body)):
            return msgspec.msgpack.decode(body, type=shape)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        pass
    raise BadRequest(
        (Fault(pointer="#/query/cursor", detail="this cursor does not belong to this question"),),
        "Take next_cursor from an answer and keep the other parameters as they were",
    )


def _sign(secret: bytes, question: str, body: bytes) -> bytes:
    return hmac.new(secret, question.encode() + b"\0" + body, hashlib.sha256).digest()[:_SIGNATURE_BYTES]
