"""How a field lies in keys: as text, as JSON, as a map of entries, or as the members of a nested model.

Values are what Pydantic dumps in JSON mode, so that whatever it can read back is carried, and nothing is known twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar, Final, Protocol

import pydantic_core
from pydantic import JsonValue

from etcdorm.errors import PathError
from etcdorm.mapping.scalars import Read, write
from etcdorm.mapping.tree import EMPTY, NULL, Tree, join
from etcdorm.path import check_text, decode_segment, encode_segment


class _Absent(Enum):
    ABSENT = "absent"


ABSENT: Final = _Absent.ABSENT
"""What decoding gives for a field that has no keys; it is then left to the field's default."""

Decoded = JsonValue | _Absent
Location = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """A relative key that can't be read, and why."""

    key: str
    text: str


class Unstorable(Exception):
    """A value that its codec can't write; carries the relative key."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key = key
        self.problem = problem


class Codec(Protocol):
    holds_null: ClassVar[bool]
    """Whether None has a text of its own, so that it needs no marker."""

    def encode(self, value: JsonValue, key: str, into: dict[str, str]) -> None:
        """Write a value at a relative key; nothing is written for what has no entries.

        Raises: Unstorable.
        """
        ...

    def decode(self, tree: Tree, problems: list[Problem]) -> Decoded:
        """Read the value at a key that is there, or has keys below it; what can't be read is added to ``problems``."""
        ...

    def owns(self, rest: str) -> bool:
        """Whether a key below the field's own belongs to the field; "" is the field's key itself."""
        ...

    def locate(self, location: Location) -> str:
        """The key, below the field's own, that a place in the value is read from."""
        ...

    def keep(self, old: JsonValue, new: JsonValue) -> JsonValue:
        """The new value, with those members of the old one's objects that the model does not know."""
        ...


class _OneKey:
    """What codecs of one single key have in common."""

    def owns(self, rest: str) -> bool:
        return not rest

    def locate(self, location: Location) -> str:
        return ""

    def keep(self, old: JsonValue, new: JsonValue) -> JsonValue:
        return new


@dataclass(frozen=True, slots=True)
class ScalarCodec(_OneKey):
    """Plain text, as ``etcdctl`` and ``confd`` read and write it."""

    read: Read
    holds_null: ClassVar[bool] = False

    def encode(self, value: JsonValue, key: str, into: dict[str, str]) -> None:
        into[key] = _checked(write(value), key)

    def decode(self, tree: Tree, problems: list[Problem]) -> Decoded:
        text = _text_of(tree, problems)
        return ABSENT if text is None else self.read(text)


@dataclass(frozen=True, slots=True)
class JsonCodec(_OneKey):
    """JSON text; the codec for every type that the others don't fit."""

    holds_null: ClassVar[bool] = True

    def encode(self, value: JsonValue, key: str, into: dict[str, str]) -> None:
        into[key] = to_json(value, key)

    def decode(self, tree: Tree, problems: list[Problem]) -> Decoded:
        text = _text_of(tree, problems)
        return ABSENT if text is None else from_json(text, tree.key, problems)


@dataclass(frozen=True, slots=True)
class MapCodec:
    """A sub-directory with one entry per item."""

    item: Codec
    holds_null: ClassVar[bool] = False

    def encode(self, value: JsonValue, key: str, into: dict[str, str]) -> None:
        for name, item in _object(value, key).items():
            try:
                segment = encode_segment(name)
            except PathError as error:
                raise Unstorable(key, str(error)) from None
            _put(item, key, segment, self.item, into)

    def decode(self, tree: Tree, problems: list[Problem]) -> Decoded:
        if not _is_directory(tree, problems):
            return ABSENT
        entries: dict[str, JsonValue] = {}
        for segment in {**tree.nulls, **tree.children}:
            if segment.startswith(("@", "_")):
                continue
            value = _take(tree, segment, self.item, problems)
            if value is ABSENT:  # another tool's keys, in what was an entry
                continue
            try:
                entries[decode_segment(segment)] = value
            except PathError as error:
                problems.append(Problem(join(tree.key, segment), str(error)))
        return entries if entries or EMPTY in tree.children else ABSENT

    def owns(self, rest: str) -> bool:
        return True

    def locate(self, location: Location) -> str:
        if not location:
            return ""
        return join(encode_segment(str(location[0])), self.item.locate(location[1:]))

    def keep(self, old: JsonValue, new: JsonValue) -> JsonValue:
        if not (isinstance(old, dict) and isinstance(new, dict)):
            return new
        return {name: self.item.keep(old.get(name), value) for name, value in new.items()}


@dataclass(frozen=True, slots=True)
class Member:
    """A field of a model: its segment, its codec, and what its absence stands for already."""

    segment: str
    codec: Codec
    none_is_absence: bool
    """The field's default is None."""
    empty_is_absence: bool
    """The field's default has no keys either."""

    def encode(self, value: JsonValue, directory: str, into: dict[str, str]) -> None:
        if not (value is None and self.none_is_absence):
            _put(value, directory, self.segment, self.codec, into, mark_empty=not self.empty_is_absence)


@dataclass(slots=True)
class ModelCodec:
    """A directory with the fields of a model, by their names. A model may lie in itself."""

    keeps_unknown: bool
    """Whether a document's unknown members may stay: neither forbidden nor, as extra fields, known after all."""
    members: dict[str, Member] = field(default_factory=dict, repr=False)
    holds_null: ClassVar[bool] = False

    def encode(self, value: JsonValue, key: str, into: dict[str, str]) -> None:
        for name, item in _object(value, key).items():
            member = self.members.get(name)
            if member is None:
                raise Unstorable(
                    join(key, name), 'an extra field has no place in a directory; declare it, or use layout="document"'
                )
            member.encode(item, key, into)

    def decode(self, tree: Tree, problems: list[Problem]) -> Decoded:
        if not _is_directory(tree, problems):
            return ABSENT
        found: dict[str, JsonValue] = {}
        for name, member in self.members.items():
            value = _take(tree, member.segment, member.codec, problems)
            if value is not ABSENT:
                found[name] = value
        return found if found or EMPTY in tree.children else ABSENT

    def owns(self, rest: str) -> bool:
        head, _, tail = rest.partition("/")
        if head in ("", EMPTY):
            return not tail
        if head == NULL:
            return tail in (member.segment for member in self.members.values())
        member = self.members.get(_name(head))
        return member is not None and member.codec.owns(tail)

    def locate(self, location: Location) -> str:
        member = self.members.get(str(location[0])) if location else None
        return join(member.segment, member.codec.locate(location[1:])) if member else ""

    def keep(self, old: JsonValue, new: JsonValue) -> JsonValue:
        if not (isinstance(old, dict) and isinstance(new, dict)):
            return new
        kept = {name: value for name, value in old.items() if name not in self.members and self.keeps_unknown}
        known = {
            name: self.members[name].codec.keep(old.get(name), value) if name in self.members else value
            for name, value in new.items()
        }
        return {**known, **kept}


def to_json(value: JsonValue, key: str) -> str:
    """JSON text; the key is for the error.

    Raises: Unstorable.
    """
    try:
        return pydantic_core.to_json(value).decode()
    except ValueError:
        raise Unstorable(key, "it holds text that UTF-8 can't carry, or a number beyond what JSON text may hold") from None


def from_json(text: str, key: str, problems: list[Problem]) -> Decoded:
    """The value of a JSON text; ABSENT, and a problem, when it is none."""
    try:
        value: JsonValue = pydantic_core.from_json(text)
    except ValueError as error:
        problems.append(Problem(key, f"not valid JSON: {error}"))
        return ABSENT
    return value


def _put(
    value: JsonValue, directory: str, segment: str, codec: Codec, into: dict[str, str], *, mark_empty: bool = True
) -> None:
    if value is None and not codec.holds_null:
        into[join(directory, NULL, segment)] = ""
        return
    key = join(directory, segment)
    count = len(into)
    codec.encode(value, key, into)
    if len(into) == count and mark_empty:
        into[join(key, EMPTY)] = ""


def _take(tree: Tree, segment: str, codec: Codec, problems: list[Problem]) -> Decoded:
    child = tree.children.get(segment)
    value = ABSENT if child is None else codec.decode(child, problems)
    # A key beside its own marker was set by another tool, later than the marker.
    return None if value is ABSENT and segment in tree.nulls else value


def _text_of(tree: Tree, problems: list[Problem]) -> str | None:
    if tree.text is None:
        problems.append(Problem(tree.key, "a directory, where one key is expected"))
    return tree.text


def _is_directory(tree: Tree, problems: list[Problem]) -> bool:
    if tree.text is not None:
        problems.append(Problem(tree.key, "one key, where a directory is expected"))
    return tree.text is None


def _object(value: JsonValue, key: str) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise Unstorable(key, "it is not dumped as an object, as its type says; mark the field with AsJson()")
    return value


def _checked(text: str, key: str) -> str:
    try:
        check_text(text, "the text")
    except PathError as error:
        raise Unstorable(key, str(error)) from None
    return text


def _name(segment: str) -> str:
    try:
        return decode_segment(segment)
    except PathError:
        return segment
