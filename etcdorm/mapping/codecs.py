"""How a field lies in keys: what every codec does, and those of one single key.

Values are what Pydantic dumps in JSON mode, so that whatever it can read back is carried, and nothing is known twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Final, Protocol

import pydantic_core
from pydantic import JsonValue

from etcdorm.errors import PathError
from etcdorm.mapping.scalars import Read, write
from etcdorm.mapping.tree import Tree
from etcdorm.path import check_text


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

    def place(self, rest: str) -> Location:
        """The place in the value that a key below the field's own holds: the inverse of ``locate``."""
        ...

    def is_secret(self, location: Location) -> bool:
        """Whether what lies at a place in the value is secret, or has something secret in it."""
        ...

    def to_document(self, value: JsonValue, key: str) -> JsonValue:
        """A dumped value as it lies in a document, its members by their key names.

        Raises: Unstorable.
        """
        ...

    def from_document(self, value: JsonValue, key: str, problems: list[Problem]) -> JsonValue:
        """The inverse of ``to_document``."""
        ...

    def keep(self, old: Decoded, was: Decoded, new: JsonValue) -> JsonValue:
        """The new value of a document, with those members of the old one's objects that the model does not know.

        ``was`` is the old value as the model knows it. Where it is the new one, a value of one key stays the old one.
        """
        ...


class _OneKey:
    """What codecs of one single key have in common."""

    __slots__ = ()

    def owns(self, rest: str) -> bool:
        return not rest

    def locate(self, location: Location) -> str:
        return ""

    def place(self, rest: str) -> Location:
        return tuple(rest.split("/")) if rest else ()

    def to_document(self, value: JsonValue, key: str) -> JsonValue:
        return value

    def from_document(self, value: JsonValue, key: str, problems: list[Problem]) -> JsonValue:
        return value

    def keep(self, old: Decoded, was: Decoded, new: JsonValue) -> JsonValue:
        return old if old is not ABSENT and was is not ABSENT and _is_same(was, new) else new


@dataclass(frozen=True, slots=True)
class ScalarCodec(_OneKey):
    """Plain text, as ``etcdctl`` and ``confd`` read and write it."""

    read: Read
    secret: bool = False
    holds_null: ClassVar[bool] = False

    def is_secret(self, location: Location) -> bool:
        return self.secret

    def encode(self, value: JsonValue, key: str, into: dict[str, str]) -> None:
        text = write(value)
        into[key] = text if text.isascii() else _checked(text, key)

    def decode(self, tree: Tree, problems: list[Problem]) -> Decoded:
        text = _text_of(tree, problems)
        return ABSENT if text is None else self.read(text)


@dataclass(frozen=True, slots=True)
class JsonCodec(_OneKey):
    """JSON text; the codec for every type that the others don't fit."""

    secret: bool = False
    holds_null: ClassVar[bool] = True

    def is_secret(self, location: Location) -> bool:
        return self.secret

    def encode(self, value: JsonValue, key: str, into: dict[str, str]) -> None:
        into[key] = to_json(value, key)

    def decode(self, tree: Tree, problems: list[Problem]) -> Decoded:
        text = _text_of(tree, problems)
        return ABSENT if text is None else from_json(text, tree.key, problems)


@dataclass(frozen=True, slots=True)
class AnyCodec(JsonCodec):
    """JSON text, and a text that is none is that text itself: of another tool, which can't know that JSON is wanted."""

    def decode(self, tree: Tree, problems: list[Problem]) -> Decoded:
        text = _text_of(tree, problems)
        if text is None:
            return ABSENT
        found = from_json(text, tree.key, [])
        return text if found is ABSENT else found


def to_json(value: JsonValue, key: str) -> str:
    """JSON text; the key is for the error.

    Raises: Unstorable.
    """
    try:
        return pydantic_core.to_json(value).decode()
    except ValueError:
        raise Unstorable(key, "it holds a text that UTF-8 can't carry, or a number too long for JSON") from None


def _is_same(a: JsonValue, b: JsonValue) -> bool:
    """Whether two values are one as JSON, where 1, 1.0 and true are three."""
    try:
        return pydantic_core.to_json(a) == pydantic_core.to_json(b)
    except ValueError:
        return False


def from_json(text: str, key: str, problems: list[Problem]) -> Decoded:
    """The value of a JSON text; ABSENT, and a problem, when it is none."""
    try:
        value: JsonValue = pydantic_core.from_json(text)
    except ValueError as error:
        problems.append(Problem(key, f"not valid JSON: {error}"))
        return ABSENT
    return value


def _text_of(tree: Tree, problems: list[Problem]) -> str | None:
    if tree.text is None:
        problems.append(Problem(tree.key, "a directory, where one key is expected"))
    return tree.text


def _checked(text: str, key: str) -> str:
    try:
        check_text(text, "the text")
    except PathError as error:
        raise Unstorable(key, str(error)) from None
    return text
