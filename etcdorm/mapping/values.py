"""The values of a model: dumped in JSON mode, and compared with what came back."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Set
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from types import NoneType
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, JsonValue, RootModel, TypeAdapter
from pydantic_core import to_json

JSON_CONFIG: Final = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants")
"""The settings with which every value of bytes and float has a form in JSON."""

_CONTAINERS: Final = (dict, list)
_ATOMS: Final = frozenset((str, int, float, bool, NoneType, Decimal, date, datetime))
_MISSING: Final = object()


def dump(model: BaseModel, *, only: set[str] | None = None, without: set[str] | None = None) -> JsonValue:
    """The values as JSON validation reads them back, by field name; equal ones give equal dumps, sets in one order too.

    Warnings are off: what is wrong about a value shows when it is read back, and warnings quote it.
    """
    values: JsonValue = model.__pydantic_serializer__.to_python(
        model, mode="json", round_trip=True, by_alias=False, warnings="none", include=only, exclude=without
    )
    return _in_order(model, values)


def _in_order(value: object, dumped: JsonValue) -> JsonValue:
    """The dump of a value, with the items of sets sorted: their own order hangs on how each set came about."""
    if not isinstance(dumped, _CONTAINERS):
        return dumped
    if isinstance(value, RootModel):
        value = value.root
    if isinstance(dumped, dict):
        if isinstance(value, BaseModel) or is_dataclass(value):
            return {name: _in_order(getattr(value, name, None), item) for name, item in dumped.items()}
        if isinstance(value, Mapping) and len(value) == len(dumped):
            return {name: _in_order(item, dumped[name]) for name, item in zip(dumped, value.values(), strict=True)}
    if isinstance(dumped, list) and isinstance(value, list | tuple | Set) and len(value) == len(dumped):
        items = [_in_order(item, part) for item, part in zip(value, dumped, strict=True)]
        return sorted(items, key=to_json) if isinstance(value, Set) else items
    return dumped


def comes_back(annotation: Any, value: object) -> bool:  # Any: what may stand in an annotation has no type
    """Whether a value of this type is the same after it was JSON."""
    adapter: TypeAdapter[object] = TypeAdapter(annotation, config=JSON_CONFIG)
    try:
        return same(value, adapter.validate_json(adapter.dump_json(value, round_trip=True)))
    except ValueError:
        return False


def same(a: object, b: object) -> bool:
    """Whether ``b`` is what ``a`` was before it was stored.

    That is ``a == b``, but for what Python calls unequal to itself (NaN; a time that the clock shows twice), for
    dataclasses without ``==``, and for what is never stored: private attributes and excluded fields.
    """
    if a is b or (type(a) in _ATOMS and a == b):  # most are so, and to ask for all that follows is dear
        return True
    if isinstance(a, BaseModel):
        return type(a) is type(b) and isinstance(b, BaseModel) and not differing(a, b)
    if is_dataclass(a):
        return type(a) is type(b) and all(_same_attribute(a, b, field.name) for field in fields(a))
    if isinstance(a, Mapping):
        return isinstance(b, Mapping) and len(a) == len(b) and all(key in b and same(a[key], b[key]) for key in a)
    for kind in (list, tuple, deque):
        if isinstance(a, kind):
            return isinstance(b, kind) and _same_items(a, b)
    if a == b:
        return True
    if isinstance(a, datetime) and isinstance(b, datetime):
        return a.isoformat() == b.isoformat()
    return type(a) is type(b) and a != a and b != b


def differing(a: BaseModel, b: BaseModel) -> list[str]:
    """The fields, of two models of one class, that are not the same."""
    fields = type(a).model_fields
    unlike = [name for name in fields if not (_same_attribute(a, b, name) or fields[name].exclude)]
    mine, theirs = a.model_extra or {}, b.model_extra or {}
    if not (mine or theirs):
        return unlike
    return unlike + [name for name in mine.keys() | theirs.keys() if not same(mine.get(name), theirs.get(name))]


def _same_attribute(a: object, b: object, name: str) -> bool:
    mine, theirs = getattr(a, name, _MISSING), getattr(b, name, _MISSING)
    return mine is not _MISSING and theirs is not _MISSING and same(mine, theirs)


def _same_items(a: Iterable[object], b: Iterable[object]) -> bool:
    mine, theirs = list(a), list(b)
    return len(mine) == len(theirs) and all(same(one, other) for one, other in zip(mine, theirs, strict=True))
