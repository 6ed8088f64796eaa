"""Models that are directories, with a key for each field."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import JsonValue

from etcdorm.errors import PathError
from etcdorm.mapping.codecs import ABSENT, Codec, Decoded, Location, Problem, Unstorable
from etcdorm.mapping.entries import as_object, is_directory, put, readable, take
from etcdorm.mapping.tree import EMPTY, NULL, Tree, join
from etcdorm.path import decode_segment, encode_segment


@dataclass(frozen=True, slots=True)
class Member:
    """A field of a model: the name of its key, its codec, and what its absence stands for already."""

    name: str
    """The name that it has in etcd, as a key and in a document: that of the field, unless a marker says another."""
    segment: str
    """The name as a segment of a path."""
    codec: Codec
    none_is_absence: bool
    """The field's default is None."""
    empty_is_absence: bool
    """The field's default has no keys either."""
    secret: bool = False
    """All that it holds is secret."""

    def encode(self, value: JsonValue, directory: str, into: dict[str, str]) -> None:
        if not (value is None and self.none_is_absence):
            put(value, directory, self.segment, self.codec, into, mark_empty=not self.empty_is_absence)


@dataclass(slots=True)
class ModelCodec:
    """A directory with the fields of a model, by the names of their keys. A model may lie in itself.

    An extra field is always one key: what lies in a sub-directory of another name is no field, but may be a record.
    """

    fields: frozenset[str]
    """The names of all fields of the model, of those too that are not stored here; no extra field has one of them."""
    keeps_unknown: bool
    """Whether a document's unknown members may stay: neither forbidden nor, as extra fields, known after all."""
    secret: bool
    """Whether any of the fields is secret, or has something secret in it."""
    extra: Codec | None = None
    """The codec of each extra field; None when there can be none."""
    renames: bool = False
    """Whether any key, also of a model within, has another name than its field."""
    members: dict[str, Member] = field(default_factory=dict, repr=False)
    """By the name of the field."""
    names: dict[str, str] = field(default_factory=dict, repr=False)
    """The fields by the name that each has in etcd."""
    holds_null: ClassVar[bool] = False

    def add(self, name: str, member: Member) -> None:
        self.members[name] = member
        self.names[member.name] = name

    def encode(self, value: JsonValue, key: str, into: dict[str, str]) -> None:
        for name, item in as_object(value, key).items():
            member = self.members.get(name)
            if member is not None:
                member.encode(item, key, into)
            else:
                put(item, key, encode_segment(name), self._extra(name, key), into)

    def decode(self, tree: Tree, problems: list[Problem]) -> Decoded:
        if not is_directory(tree, problems):
            return ABSENT
        found: dict[str, JsonValue] = {}
        for name, member in self.members.items():
            value = take(tree, member.segment, member.codec, problems)
            if value is not ABSENT:
                found[name] = value
        if self.extra is not None:
            self._decode_extras(self.extra, tree, found, problems)
        return found if found or EMPTY in tree.children else ABSENT

    def owns(self, rest: str) -> bool:
        head, _, tail = rest.partition("/")
        if head in ("", EMPTY):
            return not tail
        if head == NULL:
            return readable(tail) in self.names or self._extra_name(tail) is not None
        field = self.names.get(readable(head))
        if field is not None:
            return self.members[field].codec.owns(tail)
        return not tail and self._extra_name(head) is not None

    def locate(self, location: Location) -> str:
        if not location:
            return ""
        name = str(location[0])
        member = self.members.get(name)
        if member is not None:
            return join(member.segment, member.codec.locate(location[1:]))
        return "" if self.extra is None or name in self.fields else encode_segment(name)

    def place(self, rest: str) -> Location:
        head, _, tail = rest.removeprefix(f"{NULL}/").partition("/")
        field = self.names.get(readable(head))
        if field is not None:
            return (field, *self.members[field].codec.place(tail))
        return tuple(readable(segment) for segment in rest.split("/")) if rest else ()

    def field(self, key: str) -> str:
        """What errors call the place that a relative key holds: ``labels.env``; "" for the model itself."""
        return ".".join(str(part) for part in self.place(key))

    def is_secret(self, location: Location) -> bool:
        if not location:
            return self.secret
        member = self.members.get(str(location[0]))
        if member is None:
            return self.extra is not None and self.extra.is_secret(location[1:])
        return member.secret or member.codec.is_secret(location[1:])

    def to_document(self, value: JsonValue, key: str) -> JsonValue:
        if not isinstance(value, dict):
            return value
        document: dict[str, JsonValue] = {}
        for name, item in value.items():
            member = self.members.get(name)
            if member is None:
                self._extra(name, key)
                document[name] = item
            else:
                document[member.name] = member.codec.to_document(item, join(key, member.segment))
        return document

    def from_document(self, value: JsonValue, key: str, problems: list[Problem]) -> JsonValue:
        if not isinstance(value, dict):
            return value
        found: dict[str, JsonValue] = {}
        for name, item in value.items():
            field = self.names.get(name)
            if field is not None:
                member = self.members[field]
                found[field] = member.codec.from_document(item, join(key, member.segment), problems)
            elif name not in self.members:
                found[name] = item
            elif not self.keeps_unknown and self.extra is None:
                problems.append(Problem(key, f"the field {name} lies in {self.members[name].name!r}, not in {name!r}"))
        return found

    def keep(self, old: Decoded, was: Decoded, new: JsonValue) -> JsonValue:
        if not (isinstance(old, dict) and isinstance(new, dict)):
            return new
        known = was if isinstance(was, dict) else {}
        kept = {name: value for name, value in old.items() if self._is_unknown(name)}
        for name, value in new.items():
            field = self.names.get(name)
            if field is not None:
                value = self.members[field].codec.keep(old.get(name, ABSENT), known.get(name, ABSENT), value)
            kept[name] = value
        return kept

    def _is_unknown(self, name: str) -> bool:
        """Whether a document's member of this name is to be left as it is."""
        return name not in self.names and (self.keeps_unknown or name in self.members)

    def _extra(self, name: str, key: str) -> Codec:
        """The codec of an extra field.

        Raises: Unstorable when there can be none of this name.
        """
        if self.extra is None:
            raise Unstorable(join(key, encode_segment(name)), "it is no field of its model, which allows no extra ones")
        if name in self.names:
            field = self.names[name]
            raise Unstorable(
                join(key, encode_segment(name)), f"an extra field of this name would lie where the field {field} does"
            )
        return self.extra

    def _extra_name(self, segment: str) -> str | None:
        """The extra field that a key of this name is; None when it is none."""
        if self.extra is None or segment.startswith(("@", "_")):
            return None
        try:
            name = decode_segment(segment)
        except PathError:
            return None
        return None if name in self.fields or name in self.names else name

    def _decode_extras(self, codec: Codec, tree: Tree, found: dict[str, JsonValue], problems: list[Problem]) -> None:
        for segment in {**tree.nulls, **tree.children}:
            name = self._extra_name(segment)
            if name is None:
                continue
            child = tree.children.get(segment)
            if child is not None and child.text is not None:
                value = codec.decode(child, problems)
            else:
                value = None if segment in tree.nulls else ABSENT
            if value is not ABSENT:
                found[name] = value
