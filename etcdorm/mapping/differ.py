"""Which fields of a model hold another value than before, without a look at how they are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel

from etcdorm.mapping.directories import ModelCodec
from etcdorm.mapping.values import ATOMS

Seen = tuple[object, ...]
"""The values that the stored fields of a model had at some moment."""

_SPELLED: Final = frozenset((float, Decimal, datetime))
"""Atoms of which equal ones may be written in two ways: 0.0 equals -0.0, and 1.0 equals 1.00."""
_FIXED: Final = ATOMS | {time, timedelta, UUID, IPv4Address, IPv6Address}
"""Types whose values nobody can change."""
_MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class Edits:
    """The fields that hold another scalar, and those of which it is ``unsure``, as they can be changed in place.

    All others hold what they did.
    """

    scalars: set[str]
    unsure: set[str]


class Differ:
    """Compares the models of one class."""

    def __init__(self, model: type[BaseModel], codec: ModelCodec) -> None:
        members = tuple(codec.members)
        self._members = members
        self._values: Callable[[Mapping[str, object]], Seen] = (
            itemgetter(*members) if len(members) > 1 else lambda values: tuple([values[name] for name in members])
        )
        self._is_dumped_by_field = _is_dumped_by_field(model)
        # What a factory has made need not be what it makes of the same record the next time.
        makes = any(model.model_fields[name].default_factory is not None for name in members)
        self._tells = self._is_dumped_by_field and not makes and codec.extra is None

    def seen(self, model: BaseModel) -> Seen:
        """What ``edits`` has to know of a model as it is now."""
        try:
            return self._values(model.__dict__)
        except KeyError:  # it was made without validation, and lacks some
            return tuple(map(model.__dict__.get, self._members))

    def edits(self, model: BaseModel, seen: Seen) -> Edits | None:
        """What may be another value than was seen; None when it takes more than the values to tell."""
        if not self._tells:
            return None
        edits = Edits(set(), set())
        for name, before, now in zip(self._members, seen, self.seen(model), strict=True):
            if before is now and type(now) in _FIXED:  # most are so, and need no call
                continue
            if not _alike(before, now):
                is_scalar = _is_fixed(before) and _is_fixed(now) and before is not None and now is not None
                (edits.scalars if is_scalar else edits.unsure).add(name)
        return edits

    def unlike(self, model: BaseModel, other: BaseModel) -> set[str]:
        """The fields of two models that may be written in different words; all others are written in the same."""
        extra, others = model.__pydantic_extra__ or {}, other.__pydantic_extra__ or {}
        if not self._is_dumped_by_field:
            return {*self._members, *extra, *others}
        found = {name for name in self._members if not _alike(model.__dict__.get(name), other.__dict__.get(name))}
        return found | {
            name for name in extra | others if not _alike(extra.get(name, _MISSING), others.get(name, _MISSING))
        }


def _alike(a: object, b: object) -> bool:
    """Whether two values of a field are certain to be written alike, also if one of them was changed in place since."""
    if a is b:
        return _is_fixed(a)
    kind = type(a)
    if kind is not type(b) or kind not in ATOMS:
        return False
    return str(a) == str(b) if kind in _SPELLED else a == b  # a signalling NaN can't even be compared


def _is_fixed(value: object) -> bool:
    """Whether this is a scalar that nobody can change."""
    return type(value) in _FIXED or isinstance(value, Enum)


def _is_dumped_by_field(model: type[BaseModel]) -> bool:
    """Whether the dump of each field hangs on its value alone, and on no serializer that sees the others as well."""
    if model.__pydantic_decorators__.field_serializers or model.__pydantic_decorators__.model_serializers:
        return False
    schema: Any = model.__pydantic_core_schema__  # Any: of any of a hundred kinds
    while "serialization" not in schema:
        if schema["type"] == "model-fields":
            return True
        if "schema" not in schema:
            return False
        schema = schema["schema"]
    return False
