"""A key field: a scalar whose text is part of the path."""

from __future__ import annotations

from enum import Enum
from typing import TypeGuard

import pydantic_core
from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError

from etcdorm.errors import ModelError, UsageError
from etcdorm.mapping.annotations import bare
from etcdorm.mapping.codecs import Codec, ScalarCodec
from etcdorm.mapping.scalars import Read, write
from etcdorm.mapping.values import same


class KeyField:
    """One field of a path template, typed as its model says.

    Validators in the field's type are run, those in ``@field_validator`` methods are not: a key is asked for before
    there is a model to run them on.
    """

    def __init__(self, model: type[BaseModel], name: str, codec: Codec) -> None:
        field = model.model_fields[name]
        self.name = name
        self.label: str = f"{model.__name__}.{name}"
        if not isinstance(codec, ScalarCodec):
            raise ModelError(
                f"{self.label}: a key field is plain text in the path, so it must be a str, int, UUID, Enum or another"
                f" scalar, and {field.annotation} is not; take it out of the path, or change its type"
            )
        origin = bare(field.annotation).origin
        self.is_free_text: bool = isinstance(origin, type) and issubclass(origin, str) and not issubclass(origin, Enum)
        self.read: Read = codec.read
        # Nothing is asked of it, so that each value is its own text; most keys are so, and all else here is dear.
        asked = field.metadata or any(name.startswith(("str_", "json_encoders")) for name in model.model_config)
        self._is_plain_text = field.annotation is str and not asked
        self._adapter: TypeAdapter[object] = TypeAdapter(field.rebuild_annotation(), config=model.model_config)

    def validate(self, value: object) -> object:
        """What the field's type makes of a value that a caller gave.

        Raises: UsageError.
        """
        try:
            return self._adapter.validate_python(value)
        except ValidationError as error:
            problem = error.errors(include_input=False, include_url=False, include_context=False)[0]["msg"]
            raise UsageError(f"{self.label} can't be this: {problem}") from None

    def given(self, value: object) -> str:
        """The text of a value that a caller gave.

        Raises: UsageError.
        """
        return value if self._is_own_text(value) else self.text(self.validate(value))

    def text(self, value: object) -> str:
        """The text of a typed value.

        Raises: UsageError for None, and for a value that could not be read back from its text.
        """
        if value is None:
            raise UsageError(f"{self.label} is None, but it is part of the path; give it a value, or use append()")
        if self._is_own_text(value):
            return value
        try:
            text = write(self.dump(value))
            readable = same(value, self._parse(text))
        except ValueError:
            readable = False
        if not readable:
            raise UsageError(f"{self.label} holds a value that can't be read back from a path")
        return text

    def is_spelt(self, value: object, text: str) -> bool:
        """Whether this is the text of a typed value."""
        if self._is_own_text(value):
            return value == text
        try:
            return self.text(value) == text
        except UsageError:
            return False

    def value(self, text: str) -> object | None:
        """The typed value of a text; None when it has none, or one that is spelled in another way (``08080``)."""
        try:
            value = self._parse(text)
            return value if self.text(value) == text else None
        except ValueError:
            return None

    def dump(self, value: object) -> JsonValue:
        """The value as JSON validation reads it."""
        if self._is_own_text(value):
            return value
        values: JsonValue = self._adapter.dump_python(value, mode="json", round_trip=True, warnings="none")
        return values

    def _is_own_text(self, value: object) -> TypeGuard[str]:
        return self._is_plain_text and type(value) is str and value.isascii()

    def _parse(self, text: str) -> object:
        return self._adapter.validate_json(pydantic_core.to_json(self.read(text)))
