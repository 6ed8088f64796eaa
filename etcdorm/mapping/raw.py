"""A record's fields as the plain values that an upgrade works on, and back, without any model.

In a directory the leaves are texts, as they lie in etcd. Keys that no field or entry is written under (``_x``,
``100%``, ``@other``) are not among the values, and stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from pydantic import JsonValue

from etcdorm.errors import PathError
from etcdorm.mapping.scalars import write
from etcdorm.mapping.tree import EMPTY, NULL, join
from etcdorm.path import check_text, decode_segment, encode_segment

Values: TypeAlias = dict[str, JsonValue]
"""What a record holds, by name, as an upgrade sees it: JSON, of which a directory has texts, None and dicts only."""

_MARKS: Final = (NULL, EMPTY)


def values_of(fields: Mapping[str, str]) -> Values:
    """The values of a directory. A key counts for more than a marker beside it, as it does for a model."""
    texts: dict[str, str] = {}
    below: dict[str, dict[str, str]] = {}
    for key, text in fields.items():
        segment, slash, rest = key.partition("/")
        if slash:
            below.setdefault(segment, {})[rest] = text
        else:
            texts[segment] = text
    found: Values = dict.fromkeys(below.pop(NULL, {}))
    for segment, keys in below.items():
        inside = values_of(keys)
        if inside or EMPTY in keys:
            found[segment] = inside
    found.update(texts)
    return {name: value for segment, value in found.items() if (name := _name(segment)) is not None}


def fields_of(values: Mapping[str, JsonValue]) -> dict[str, str]:
    """The fields of a directory with these values, as a model would write them.

    Raises: PathError for a text that UTF-8 can't carry.
    """
    fields: dict[str, str] = {}
    _put(values, "", fields)
    return fields


def rewritten(fields: Mapping[str, str], values: Mapping[str, JsonValue]) -> dict[str, str]:
    """The fields of a directory after its values have become these; what is the same, and what is not seen, stays.

    Raises: PathError.
    """
    before, after = fields_of(values_of(fields)), fields_of(values)
    changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    touched = [f"{_place(key)}/" for key in changed]
    result = dict(fields)
    for key in fields:
        # A marker that a key has hidden would come to light without the key.
        if key not in before and _is_mark(key) and any(place.startswith(f"{_place(key)}/") for place in touched):
            del result[key]
    for key in changed:
        result.pop(key, None)
        if key in after:
            result[key] = after[key]
    return result


def _put(values: Mapping[str, JsonValue], directory: str, into: dict[str, str]) -> None:
    for name, value in values.items():
        segment = encode_segment(name)
        key = join(directory, segment)
        if value is None:
            into[join(directory, NULL, segment)] = ""
        elif not isinstance(value, dict):
            text = write(value)
            check_text(text, "the text")
            into[key] = text
        elif value:
            _put(value, key, into)
        else:
            into[join(key, EMPTY)] = ""


def _place(key: str) -> str:
    """The key that a marker is about; a key itself."""
    return "/".join(segment for segment in key.split("/") if segment not in _MARKS)


def _is_mark(key: str) -> bool:
    return any(segment in _MARKS for segment in key.split("/"))


def _name(segment: str) -> str | None:
    try:
        return decode_segment(segment)
    except PathError:
        return None
