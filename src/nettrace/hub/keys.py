"""API keys and enrolment tokens as text: made so that leaked ones can be recognised, kept only as hashes.

The form follows GitHub's token format: a prefix that names the issuer, 30 random base62 characters (178 bits) and a
CRC-32 in base62, so that a scanner finds real ones without asking anybody and a typing error never reaches the store.
"""

import hashlib
import secrets
import string
import zlib

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
RANDOM_CHARACTERS = 30
CHECK_CHARACTERS = 6
LIVE, TEST, ENROL = "nt_live_", "nt_test_", "nt_enr_"
PREFIXES = (LIVE, TEST, ENROL)


def mint(prefix: str) -> str:
    """A new secret with this prefix.

    >>> well_formed(mint(LIVE)), len(mint(TEST))
    (True, 44)
    """
    body = "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_CHARACTERS))
    return prefix + body + check(prefix + body)


def check(text: str) -> str:
    """The six characters that end a secret: CRC-32 of all before them, in base62.

    >>> check("nt_live_" + "0" * 30)
    '0ylwzp'
    """
    number, digits = zlib.crc32(text.encode()), ""
    for _ in range(CHECK_CHARACTERS):
        number, digit = divmod(number, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits


def well_formed(secret: str) -> bool:
    """Whether this can be one of ours at all.

    >>> well_formed("nt_live_" + "0" * 36)
    False
    """
    prefix = next((each for each in PREFIXES if secret.startswith(each)), None)
    if prefix is None or len(secret) != len(prefix) + RANDOM_CHARACTERS + CHECK_CHARACTERS:
        return False
    return secret.isascii() and check(secret[:-CHECK_CHARACTERS]) == secret[-CHECK_CHARACTERS:]


def digest(secret: str) -> bytes:
    """What is kept instead of the secret (SHA-256; with 178 random bits nothing slower is needed)."""
    return hashlib.sha256(secret.encode()).digest()


def identifier(prefix: str) -> str:
    """A public id such as `key_5hTz0...`: 12 random base62 characters.

    >>> len(identifier("key_"))
    16
    """
    return prefix + "".join(secrets.choice(ALPHABET) for _ in range(12))
