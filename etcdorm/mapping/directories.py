"""Fields that are directories: maps, with a key per entry, and nested models, with a key per field.

Both leave it to their absence to say what it says already, and have markers for the rest: :data:`NULL` and
:data:`EMPTY`. A key that is there counts for more than a marker: another tool set it, and can't know of markers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import JsonValue

from etcdorm.errors import PathError
from etcdorm.mapping.codecs import ABSENT, Codec, Decoded, Location, Problem, Unstorable
from etcdorm.mapping.tree import EMPTY, NULL, Tree, join
from etcdorm.path import decode_segment, encode_segment


@dataclass(frozen=True, slots=True)
class MapCodec:
    """A sub-directory with one entry per item."""

    item: Codec
    holds_null: ClassVar[bool] = False

    def encode(self, value: JsonValue, key: str, into: dict[str, str]) -> None:
        for name, item in _object(value, key).items():
            _put(item, key, encode_segment(name), self.item, into)

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
        unknown = {name: value for name, value in old.items() if name not in self.members} if self.keeps_unknown else {}
        known = {
            name: self.members[name].codec.keep(old.get(name), value) if name in self.members else value
            for name, value in new.items()
        }
        return {**unknown, **known}


def _put(
    value: JsonValue, directory: str, segment: str, codec: Codec, into: dict[str, str], *, mark_empty: bool = True
) -> None:
    if value is None and not codec.holds_null:
        into[join(directory, NULL, segment)] = ""
        return
    key = f"{directory}/{segment}" if directory else segment
    count = len(into)
    codec.encode(value, key, into)
    if len(into) == count and mark_empty:
        into[join(key, EMPTY)] = ""


def _take(tree: Tree, segment: str, codec: Codec, problems: list[Problem]) -> Decoded:
    child = tree.children.get(segment)
    value = ABSENT if child is None else codec.decode(child, problems)
    # A key beside its own marker was set by another tool, later than the marker.
    return None if value is ABSENT and segment in tree.nulls else value


def _is_directory(tree: Tree, problems: list[Problem]) -> bool:
    if tree.text is not None:
        problems.append(Problem(tree.key, "one key, where a directory is expected"))
    return tree.text is None


def _object(value: JsonValue, key: str) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise Unstorable(key, "it is not dumped as an object; give it a value of its type, or mark it with AsJson()")
    return value


def _name(segment: str) -> str:
    try:
        return decode_segment(segment)
    except PathError:
        return segment
