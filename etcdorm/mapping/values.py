"""The values of a model: dumped in JSON mode, and compared with what came back."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Set
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from pydantic import BaseModel, ConfigDict, JsonValue, RootModel
from pydantic_core import to_json

from etcdorm.mapping.secrets import SECRET, is_masked, unmasked

JSON_CONFIG: Final = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants")
"""The settings with which every value of bytes and float has a form in JSON."""

ATOMS: Final = frozenset((str, int, float, bool, bytes, type(None), Decimal, date, datetime))
"""Types of which most values are, and of which equal is the same."""
_MISSING: Final = object()


def dump(model: BaseModel, *, only: set[str] | None = None, without: set[str] | None = None) -> JsonValue:
    """The values as JSON validation reads them back, by field name; equal ones give equal dumps, sets in one order too.

    Secrets are there as they are. Warnings are off: what is wrong about a value shows when it is read back, and
    warnings quote it.
    """
    values: JsonValue = model.__pydantic_serializer__.to_python(
        model, mode="json", round_trip=True, by_alias=False, warnings="none", include=only, exclude=without
    )
    return _finished(model, values, model.model_config)


def _finished(value: object, dumped: JsonValue, config: ConfigDict) -> JsonValue:
    """The dump of a value, with the items of sets sorted (their own order hangs on how each set came about), and with
    secrets in the place of their asterisks; ``config`` is that of the model around it."""
    if type(value) in ATOMS:
        return dumped
    while isinstance(value, RootModel):
        config = value.model_config
        value = value.root
    if isinstance(dumped, dict):
        if isinstance(value, BaseModel):
            config = value.model_config
            attributes = value.__dict__ | (value.__pydantic_extra__ or {})
            return {
                name: item if type(part := attributes.get(name)) in ATOMS else _finished(part, item, config)
                for name, item in dumped.items()
            }
        if is_dataclass(value):
            config = getattr(value, "__pydantic_config__", config)
            return {name: _finished(getattr(value, name, None), item, config) for name, item in dumped.items()}
        if isinstance(value, Mapping) and len(value) == len(dumped):
            items = zip(dumped.items(), value.values(), strict=True)
            return {name: _finished(item, part, config) for (name, part), item in items}
    if isinstance(dumped, list) and isinstance(value, list | tuple | deque | Set) and len(value) == len(dumped):
        parts = [_finished(item, part, config) for item, part in zip(value, dumped, strict=True)]
        return sorted(parts, key=to_json) if isinstance(value, Set) else parts
    if is_masked(value, dumped):
        secret = value.get_secret_value()
        return _finished(secret, unmasked(secret, config), config)
    return dumped


def same(a: object, b: object) -> bool:
    """Whether ``b`` is what ``a`` was before it was stored.

    That is ``a == b``, but for what Python calls unequal to itself (NaN; a time that the clock shows twice), for
    dataclasses without ``==``, and for what is never stored: private attributes and excluded fields.
    """
    if a is b or (type(a) in ATOMS and a == b):  # most are so, and to ask for all that follows is dear
        return True
    if isinstance(a, SECRET):
        return type(a) is type(b) and isinstance(b, SECRET) and same(a.get_secret_value(), b.get_secret_value())
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
    mine, theirs = a.__dict__, b.__dict__
    unlike: list[str] = []
    for name, field in type(a).__pydantic_fields__.items():
        one, other = mine.get(name, _MISSING), theirs.get(name, _MISSING)
        if one is _MISSING or (one is not other and not (type(one) in ATOMS and one == other)):  # most are none of it
            if not (_same_attribute(a, b, name) or field.exclude):
                unlike.append(name)
    extra, others = a.__pydantic_extra__ or {}, b.__pydantic_extra__ or {}
    if not (extra or others):
        return unlike
    return unlike + [name for name in extra.keys() | others.keys() if not same(extra.get(name), others.get(name))]


def _same_attribute(a: object, b: object, name: str) -> bool:
    mine, theirs = getattr(a, name, _MISSING), getattr(b, name, _MISSING)
    return mine is not _MISSING and theirs is not _MISSING and same(mine, theirs)


def _same_items(a: Iterable[object], b: Iterable[object]) -> bool:
    mine, theirs = list(a), list(b)
    return len(mine) == len(theirs) and all(same(one, other) for one, other in zip(mine, theirs, strict=True))
