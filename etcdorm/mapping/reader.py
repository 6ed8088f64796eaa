"""From a record's fields to a validated model, or to everything in them that does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Generic, TypeVar

import pydantic_core
from pydantic import BaseModel, JsonValue, ValidationError
from pydantic_core import ErrorDetails

from etcdorm.errors import FieldFailure
from etcdorm.mapping.codecs import ABSENT, Location, Problem, from_json
from etcdorm.mapping.directories import ModelCodec
from etcdorm.mapping.tree import SCHEMA, Tree, dotted

M = TypeVar("M", bound=BaseModel)

# Pydantic's messages don't quote the input, except for this one.
_QUOTES_INPUT: Final = {"union_tag_invalid": "Input should have one of the expected tags"}


class Reader(Generic[M]):
    """Reads fields in either form: a document is known by its one key ""."""

    def __init__(self, model: type[M], codec: ModelCodec) -> None:
        self.model = model
        self.codec = codec

    def read(self, fields: Mapping[str, str], keys: Mapping[str, JsonValue]) -> M | list[FieldFailure]:
        """The model, its key fields given apart; or the failures, with keys relative to the record.

        The whole model is validated at once and in JSON mode, the exact inverse of the dump that it was written from,
        for strict models too.
        """
        problems: list[Problem] = []
        is_document = "" in fields
        body = _parse_document(fields[""], problems) if is_document else self._parse_directory(fields, problems)
        failures = [
            FieldFailure(item.key, dotted(item.key) or "*", item.text, fields.get(item.key)) for item in problems
        ]
        try:
            text = pydantic_core.to_json({**body, **keys})
            model = self.model.__pydantic_validator__.validate_json(text, by_alias=False, by_name=True)
        except ValidationError as error:
            for item in error.errors(include_url=False, include_context=False):
                key = "" if is_document else self.codec.locate(item["loc"])
                if not _follows(key, problems):
                    message = _QUOTES_INPUT.get(item["type"], item["msg"])
                    stored = _member(item) if is_document else fields.get(key)
                    failures.append(FieldFailure(key, _field(item["loc"]), message, stored))
            return failures
        return failures or model

    def _parse_directory(self, fields: Mapping[str, str], problems: list[Problem]) -> dict[str, JsonValue]:
        value = self.codec.decode(Tree.grow(fields), problems)
        return value if isinstance(value, dict) else {}


def _parse_document(text: str, problems: list[Problem]) -> dict[str, JsonValue]:
    value = from_json(text, "", problems)
    if isinstance(value, dict):
        value.pop(SCHEMA, None)
        return value
    if value is not ABSENT:
        problems.append(Problem("", "JSON, but not an object"))
    return {}


def _member(item: ErrorDetails) -> str | None:
    """The text of the one member of a document that an error is about."""
    if not item["loc"] or item["type"] == "missing":
        return None
    return pydantic_core.to_json(item["input"], inf_nan_mode="constants").decode()


def _follows(key: str, problems: list[Problem]) -> bool:
    """Whether an error at a key may only be there because that key, or one below it, could not be read."""
    return any(not key or problem.key == key or problem.key.startswith(f"{key}/") for problem in problems)


def _field(location: Location) -> str:
    """``limits.cpu`` or ``ports[2]``; ``*`` for the model as a whole."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return path.removeprefix(".") or "*"
