"""The types that lie in etcd as plain text, and how a text is read as one of them.

Writing needs no table: what Pydantic dumps as a string is the text itself, and anything else is its JSON text. Reading
does, because JSON validation wants a number where a number was: the type decides, never the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import PurePath
from typing import Final, Literal, get_args
from uuid import UUID
from zoneinfo import ZoneInfo

import pydantic
import pydantic_core
from pydantic import JsonValue
from pydantic_core import from_json

from etcdorm.mapping.annotations import Bare, bare
from etcdorm.mapping.secrets import secret_type

Read = Callable[[str], JsonValue]

_FLAGS: Final[Mapping[str, JsonValue]] = {"true": True, "false": False}

_TEXTS: tuple[type, ...] = (
    str,
    bytes,
    Decimal,
    Fraction,
    complex,
    UUID,
    PurePath,
    ZoneInfo,
    re.Pattern,
    *(IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network),
    *(pydantic.AnyUrl, pydantic.PostgresDsn, pydantic.MongoDsn, pydantic.NatsDsn),
    *(pydantic_core.Url, pydantic_core.MultiHostUrl),
    *(pydantic.SecretStr, pydantic.SecretBytes),
)
# Dates among them: a model may be set to dump them as a number of seconds, and other tools write that too.
_NUMBERS: tuple[type, ...] = (int, float, date, datetime, time, timedelta)

# Pydantic's own types that are classes of no use to ``issubclass``.
_MORE_TEXTS: frozenset[object] = frozenset(
    {
        pydantic.EmailStr,
        pydantic.NameEmail,
        pydantic.IPvAnyAddress,
        pydantic.IPvAnyInterface,
        pydantic.IPvAnyNetwork,
        pydantic.Json,  # JSON in a string is a text like any other
    }
)
_MORE_NUMBERS: frozenset[object] = frozenset(
    {
        pydantic.AwareDatetime,
        pydantic.NaiveDatetime,
        pydantic.PastDatetime,
        pydantic.FutureDatetime,
        pydantic.PastDate,
        pydantic.FutureDate,
    }
)


def write(value: JsonValue) -> str:
    """The text of a dumped value."""
    return value if isinstance(value, str) else pydantic_core.to_json(value).decode()


def read_text(text: str) -> JsonValue:
    return text


def read_number(text: str) -> JsonValue:
    """A number where the text is one; otherwise the text, for Pydantic to read (``08080``, ``nan``, an ISO date)."""
    if ":" in text:  # a time: to find that out by an error would be dear
        return text
    try:
        value = from_json(text)
    except ValueError:
        return text
    return value if type(value) in (int, float) else text


def read_flag(text: str) -> JsonValue:
    return _FLAGS.get(text, text)


def reader(found: Bare) -> Read | None:
    """How texts of this type are read; None when it is not a scalar."""
    origin = found.origin
    if origin is Literal:
        return _reader_of_choices(get_args(found.type))
    if (secret := secret_type(found.type)) is not None:
        return reader(bare(secret))
    if any(marker in _MORE_TEXTS or type(marker) in _MORE_TEXTS for marker in (origin, *found.metadata)):
        return read_text
    if origin in _MORE_NUMBERS:
        return read_number
    if not isinstance(origin, type):
        return None
    if issubclass(origin, Enum):
        return _reader_of_choices(origin)
    if origin is bool:
        return read_flag
    if issubclass(origin, _TEXTS):
        return read_text
    return read_number if issubclass(origin, _NUMBERS) else None


def _reader_of_choices(members: Iterable[object]) -> Read | None:
    """Choices are a scalar if all are of one kind; ``"1"`` beside ``1`` could not be told apart, and is JSON."""
    try:
        kinds = {type(pydantic_core.to_jsonable_python(member)) for member in members} - {type(None)}
    except ValueError:
        return None
    if kinds == {str}:
        return read_text
    if kinds == {bool}:
        return read_flag
    return read_number if kinds and kinds <= {int, float} else None
