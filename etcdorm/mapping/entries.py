"""The entries of a directory: fields or items of a map; and maps, which have a key per entry.

A directory leaves it to an entry's absence to say what it says already, and has markers for the rest: :data:`NULL` and
:data:`EMPTY`. A key that is there counts for more than a marker: another tool set it, and can't know of markers.
"""

from __future__ import annotations

from dataclasses import dataclass
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
        for name, item in as_object(value, key).items():
            put(item, key, encode_segment(name), self.item, into)

    def decode(self, tree: Tree, problems: list[Problem]) -> Decoded:
        if not is_directory(tree, problems):
            return ABSENT
        entries: dict[str, JsonValue] = {}
        for segment in {**tree.nulls, **tree.children}:
            if segment.startswith(("@", "_")):
                continue
            value = take(tree, segment, self.item, problems)
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

    def place(self, rest: str) -> Location:
        if not rest:
            return ()
        head, _, tail = rest.partition("/")
        return (readable(head), *self.item.place(tail))

    def is_secret(self, location: Location) -> bool:
        return self.item.is_secret(location[1:])

    def to_document(self, value: JsonValue, key: str) -> JsonValue:
        if not isinstance(value, dict):
            return value
        return {name: self.item.to_document(item, join(key, encode_segment(name))) for name, item in value.items()}

    def from_document(self, value: JsonValue, key: str, problems: list[Problem]) -> JsonValue:
        if not isinstance(value, dict):
            return value
        return {
            name: self.item.from_document(item, join(key, encode_segment(name)), problems)
            for name, item in value.items()
        }

    def keep(self, old: Decoded, was: Decoded, new: JsonValue) -> JsonValue:
        if not (isinstance(old, dict) and isinstance(new, dict)):
            return new
        known = was if isinstance(was, dict) else {}
        return {
            name: self.item.keep(old.get(name, ABSENT), known.get(name, ABSENT), value) for name, value in new.items()
        }


def put(
    value: JsonValue, directory: str, segment: str, codec: Codec, into: dict[str, str], *, mark_empty: bool = True
) -> None:
    """Write one entry of a directory.

    Raises: Unstorable.
    """
    if value is None and not codec.holds_null:
        into[join(directory, NULL, segment)] = ""
        return
    key = f"{directory}/{segment}" if directory else segment
    count = len(into)
    codec.encode(value, key, into)
    if len(into) == count and mark_empty:
        into[join(key, EMPTY)] = ""


def take(tree: Tree, segment: str, codec: Codec, problems: list[Problem]) -> Decoded:
    """Read one entry of a directory; ABSENT when there is none."""
    child = tree.children.get(segment)
    value = ABSENT if child is None else codec.decode(child, problems)
    # A key beside its own marker was set by another tool, later than the marker.
    return None if value is ABSENT and segment in tree.nulls else value


def is_directory(tree: Tree, problems: list[Problem]) -> bool:
    """Whether it is one; it is a problem when it is not."""
    if tree.text is not None:
        problems.append(Problem(tree.key, "one key, where a directory is expected"))
    return tree.text is None


def as_object(value: JsonValue, key: str) -> dict[str, JsonValue]:
    """The value, which must be an object.

    Raises: Unstorable.
    """
    if not isinstance(value, dict):
        raise Unstorable(key, "it is not dumped as an object; give it a value of its type, or mark it with AsJson()")
    return value


def readable(segment: str) -> str:
    """The text behind a segment, or the segment itself when it is in no encoding of ours."""
    try:
        return decode_segment(segment)
    except PathError:
        return segment
