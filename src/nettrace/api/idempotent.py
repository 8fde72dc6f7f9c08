"""Idempotency-Key: the same request twice is one thing made, whichever worker answers and however much later.

What is made gets an id that follows from the account and the key, so the store itself tells a repeat: no second
memory that could forget or disagree.
"""

import hashlib

from nettrace.api.call import Call
from nettrace.api.problems import BadRequest, Fault
from nettrace.hub import keys

HEADER = "idempotency-key"
MOST_CHARACTERS = 255


def identifier(call: Call, prefix: str) -> str | None:
    """The id that the request's Idempotency-Key stands for, None without one.

    Raises:
        BadRequest: the header is empty or longer than 255 characters.
    """
    given = call.headers.get(HEADER)
    if given is None:
        return None
    if not 0 < len(given) <= MOST_CHARACTERS:
        raise BadRequest((Fault(pointer="#/header/Idempotency-Key", detail="1 to 255 characters"),))
    digest = hashlib.sha256(f"{call.operation_id}\0{call.caller.account}\0{given}".encode()).digest()
    number = int.from_bytes(digest)
    letters = ""
    for _ in range(16):
        number, digit = divmod(number, len(keys.ALPHABET))
        letters += keys.ALPHABET[digit]
    return prefix + letters
