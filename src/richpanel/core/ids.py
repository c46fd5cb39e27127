"""Ids and addresses: what counts as an id, what stands for nobody, one spelling per address (`semantics.md` 2, 3)."""

import re
from collections.abc import Collection
from functools import lru_cache
from hashlib import blake2b

import phonenumbers

BLOCKED_IDS = frozenset({"", "null", "undefined", "none", "nan", "anonymous", "guest", "-1", "[object object]"})
"""Ids that stand for nobody, in lower case (`semantics.md` 2); runs of zeros and dashes are blocked besides."""

_ZEROS_AND_DASHES = re.compile(r"[0-]+")
_WRITTEN_OUT = re.compile(r"\+[1-9][0-9]{6,14}")


def clean_id(value: object, blocked: Collection[str] = BLOCKED_IDS) -> str | None:
    """Give an id as a string, or None where it is absent or stands for nobody. Integers become their digits."""
    if type(value) is str:
        text = value
    elif type(value) is int:
        text = str(value)
    else:
        return None
    folded = text.strip().lower()
    if not folded or folded in blocked or (folded[0] in "0-" and _ZEROS_AND_DASHES.fullmatch(folded)):
        return None
    return text


def email_address(value: object) -> str | None:
    """Give the one spelling of an email (trimmed, lower case), or None: an email is a non-blank string with an `@`."""
    if not isinstance(value, str) or "@" not in value:
        return None
    return value.strip().lower() or None


@lru_cache(maxsize=256)
def _calling(code: int) -> tuple["re.Pattern[str]", Collection[int]] | None:
    """Give what a number with a calling code may begin with that is no part of it, and how long it may be."""
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(code)
    found = regions and phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(code, regions[0])
    if not found or found.general_desc is None:
        return None
    return re.compile(found.national_prefix_for_parsing or "(?!)"), found.general_desc.possible_length


def _is_e164(text: str) -> bool:
    """Tell whether a text is E.164 for certain, by the parser's own tables: most are, and parsing takes 100 us."""
    if not _WRITTEN_OUT.fullmatch(text):
        return False
    for end in (2, 3, 4):
        known = _calling(int(text[1:end]))
        if known is not None:
            prefix, lengths = known
            return text[end] != "0" and len(text) - end in lengths and not prefix.match(text[end:])
    return False


@lru_cache(maxsize=2_048)
def _e164(text: str, country: str) -> str | None:
    if _is_e164(text):
        return text
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def phone_address(value: object, country: str) -> str | None:
    """Give a phone number in E.164, read with the account's `country` (ISO 3166 alpha-2), or None where impossible."""
    if type(value) is int:
        value = str(value)
    if not isinstance(value, str) or not 3 <= len(value) <= 64:
        return None
    return _e164(value.strip(), country)


@lru_cache(maxsize=4_096)
def _begun(secret: bytes, scope: str) -> "blake2b":
    """Begin a hash with a part that many have in common, such as a source's id; its length keeps the parts apart."""
    return blake2b(f"{len(scope)}:{scope}".encode("utf-8", "surrogatepass"), digest_size=8, key=secret)


def hash64(secret: bytes, scope: str, value: str) -> int:
    """Give a signed 64-bit keyed hash of a value in its scope: an index key that outsiders cannot make collide."""
    hashed = _begun(secret, scope).copy()
    hashed.update(value.encode("utf-8", "surrogatepass"))
    return int.from_bytes(hashed.digest(), "little", signed=True)
