"""From a record's fields to a validated model, or to everything in them that does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Generic, TypeVar, get_args

import pydantic_core
from pydantic import BaseModel, JsonValue, ValidationError
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType

from etcdorm.errors import FieldFailure
from etcdorm.mapping.codecs import ABSENT, Codec, Location, Problem, ScalarCodec, from_json
from etcdorm.mapping.directories import ModelCodec
from etcdorm.mapping.entries import readable
from etcdorm.mapping.scalars import Read, read_text
from etcdorm.mapping.tree import SCHEMA, Tree

M = TypeVar("M", bound=BaseModel)

# Pydantic's messages don't quote the input, except for this one.
_QUOTES_INPUT: Final = {"union_tag_invalid": "Input should have one of the expected tags"}
# What somebody else has said goes into a message by these: a validator of the user's own, or a parser.
_QUOTES_OTHERS: Final = {"error", "encoding_error"}

_NOT_SHOWN: Final = "not shown, as there is a secret in it"


class Reader(Generic[M]):
    """Reads fields in either form: a document is known by its one key ""."""

    def __init__(self, model: type[M], codec: ModelCodec) -> None:
        self.model = model
        self.codec = codec
        self._scalars: list[tuple[str, str, Read]] = []
        self._others: list[tuple[str, str, Codec]] = []
        for name, member in codec.members.items():
            if isinstance(member.codec, ScalarCodec):
                self._scalars.append((name, member.segment, member.codec.read))
            else:
                self._others.append((name, member.segment, member.codec))
        self._named = frozenset(name for name, segment, _ in self._scalars if name == segment)
        """The scalars that lie in keys of their own names."""
        self._not_text = [
            (name, read) for name, segment, read in self._scalars if name == segment and read is not read_text
        ]

    def read(self, fields: Mapping[str, str], keys: dict[str, JsonValue]) -> M | list[FieldFailure]:
        """The model, its key fields given apart; or the failures, with keys relative to the record.

        The whole model is validated at once and in JSON mode, the exact inverse of the dump that it was written from,
        for strict models too.
        """
        problems: list[Problem] = []
        document = fields.get("")
        body = self._parse_directory(fields, problems) if document is None else self._parse_document(document, problems)
        text = pydantic_core.to_json(body | keys)
        try:
            model = self.model.__pydantic_validator__.validate_json(text, by_alias=False, by_name=True)
        except ValidationError as error:
            return [self._unreadable(item, fields) for item in problems] + [
                self._invalid(item, fields)
                for item in error.errors(include_url=False)
                if not _follows(self.codec.locate(item["loc"]), problems)
            ]
        return [self._unreadable(item, fields) for item in problems] if problems else model

    def _parse_directory(self, fields: Mapping[str, str], problems: list[Problem]) -> dict[str, JsonValue]:
        if fields.keys() <= self._named:
            return self._parse_named(fields)
        if self.codec.extra is None and "/" not in "".join(fields):
            return self._parse_flat(fields, problems)
        return self._parse_tree(fields, problems)

    def _parse_named(self, fields: Mapping[str, str]) -> dict[str, JsonValue]:
        """What ``_parse_tree`` makes of nothing but scalars under their own names: of most records."""
        found: dict[str, JsonValue] = {**fields}
        for name, read in self._not_text:
            if name in fields:
                found[name] = read(fields[name])
        return found

    def _parse_flat(self, fields: Mapping[str, str], problems: list[Problem]) -> dict[str, JsonValue]:
        """What ``_parse_tree`` makes of keys without sub-directories, at a third of the cost."""
        found: dict[str, JsonValue] = {}
        for name, segment, read in self._scalars:
            text = fields.get(segment)
            if text is not None:
                found[name] = read(text)
        for name, segment, codec in self._others:
            text = fields.get(segment)
            if text is not None:
                value = codec.decode(Tree(segment, text), problems)
                if value is not ABSENT:
                    found[name] = value
        return found

    def _parse_tree(self, fields: Mapping[str, str], problems: list[Problem]) -> dict[str, JsonValue]:
        value = self.codec.decode(Tree.grow(fields), problems)
        return value if isinstance(value, dict) else {}

    def _parse_document(self, text: str, problems: list[Problem]) -> dict[str, JsonValue]:
        value = from_json(text, "", problems)
        if isinstance(value, dict):
            value.pop(SCHEMA, None)
            found = self.codec.from_document(value, "", problems) if self.codec.renames else value
            return found if isinstance(found, dict) else {}
        if value is not ABSENT:
            problems.append(Problem("", "JSON, but not an object"))
        return {}

    def _unreadable(self, problem: Problem, fields: Mapping[str, str]) -> FieldFailure:
        """A key that could not be read."""
        key = "" if "" in fields else problem.key
        field = self.codec.field(problem.key) or "*"
        if self.codec.is_secret(self.codec.place(problem.key)):
            return FieldFailure(key, field, f"{problem.text} ({_NOT_SHOWN})")
        return FieldFailure(key, field, problem.text, fields.get(problem.key))

    def _invalid(self, item: ErrorDetails, fields: Mapping[str, str]) -> FieldFailure:
        """A value that Pydantic has refused."""
        location = item["loc"]
        at = self.codec.locate(location)
        key, stored = ("", _member(item)) if "" in fields else (at, fields.get(at))
        more = ""
        if "" in fields and self.codec.field(at) != (name := ".".join(map(readable, at.split("/")))):
            more = f" (the member {name})"
        is_secret = self.codec.is_secret(location)
        problem = what_is_wrong(item, more, secret=is_secret)
        return FieldFailure(key, field_name(location), problem, None if is_secret else stored)


def _member(item: ErrorDetails) -> str | None:
    """The text of the one member of a document that an error is about."""
    if not item["loc"] or item["type"] == "missing":
        return None
    return pydantic_core.to_json(item["input"], inf_nan_mode="constants").decode()


def what_is_wrong(item: ErrorDetails, more: str = "", *, secret: bool) -> str:
    """Pydantic's message; of a secret one that holds nothing of the input: not what others say that it passes on."""
    message = _QUOTES_INPUT.get(item["type"], item["msg"]) + more
    if not secret:
        return message
    if item["type"] in get_args(ErrorType) and not _QUOTES_OTHERS.intersection(item.get("ctx", {})):
        return f"{message} ({_NOT_SHOWN})"
    return f"not valid: {item['type']} ({_NOT_SHOWN})"


def _follows(key: str, problems: list[Problem]) -> bool:
    """Whether an error at a key may only be there because that key, or one below it, could not be read."""
    return any(problem.key in ("", key) or not key or problem.key.startswith(f"{key}/") for problem in problems)


def field_name(location: Location) -> str:
    """``limits.cpu`` or ``ports[2]``; ``*`` for the model as a whole."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return path.removeprefix(".") or "*"
