"""What a model class may not have, found when the class is made instead of when the first value is stored.

A courtesy: a type that slips through here is refused by ``Schema.encode``, which reads back whatever it writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pydantic import BaseModel, Secret, SecretBytes, SecretStr
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, JsonSchemaWarningKind
from pydantic_core import PydanticSerializationError, core_schema

from etcdorm.errors import ModelError
from etcdorm.mapping.annotations import mentioned

RESERVED: Final = frozenset({"etcd", "key", "match_key"})
"""The public names of EtcdModel, which a field would hide."""


def check_names(model: type, names: Iterable[str]) -> None:
    """Raise ModelError for a field that would hide a name of EtcdModel's own."""
    for name in RESERVED.intersection(names):
        raise ModelError(f"{model.__name__}.{name}: every EtcdModel has {name!r} already; give the field another name")


def check_fields(model: type[BaseModel]) -> None:
    """Raise ModelError for a field that could not be stored and come back."""
    check_names(model, model.model_fields)
    if model.__pydantic_root_model__:
        raise ModelError(f"{model.__name__}: a RootModel has no fields to store; put it into a field of an EtcdModel")
    for name, field in model.model_fields.items():
        for part in () if field.exclude else mentioned(field.annotation):
            _check_type(part, f"{model.__name__}.{name}")
    _check_excluded(model, model.__name__)
    _check_readable(model)


def _check_type(part: object, where: str) -> None:
    if not isinstance(part, type):
        return
    if issubclass(part, SecretStr | SecretBytes | Secret):
        raise ModelError(
            f"{where}: secrets can't be stored yet, as Pydantic dumps {part.__name__} as asterisks;"
            " exclude the field and give it a default, or use str"
        )
    if issubclass(part, BaseModel):
        _check_excluded(part, where)


def _check_excluded(model: type[BaseModel], where: str) -> None:
    for name, field in model.model_fields.items():
        if field.exclude and field.is_required():
            raise ModelError(f"{where}: {model.__name__}.{name} is excluded from what is stored, so it needs a default")


class _NoJson(PydanticInvalidForJsonSchema):
    """A field, of the model or of one within it, has no form in JSON."""

    def __init__(self, field: core_schema.ModelField) -> None:
        super().__init__("a field has no form in JSON")
        self.field = field
        self.place = ""


class _Readable(GenerateJsonSchema):
    """Goes through a model as JSON validation would, and fails at what that always refuses, such as a callable.

    Where a function of the user's own comes first, it may well make such a value of JSON.
    """

    def model_fields_schema(self, schema: core_schema.ModelFieldsSchema) -> JsonSchemaValue:
        fields = {name: field for name, field in schema["fields"].items() if not field.get("serialization_exclude")}
        try:
            return super().model_fields_schema({**schema, "fields": fields})
        except _NoJson as error:
            names = [name for name, field in fields.items() if field is error.field]
            error.place = error.place or ".".join([schema.get("model_name", "a model"), *names])
            raise

    def model_field_schema(self, schema: core_schema.ModelField) -> JsonSchemaValue:
        try:
            return super().model_field_schema(schema)
        except _NoJson:
            raise
        except (PydanticInvalidForJsonSchema, PydanticSerializationError):  # the latter for members of an Enum
            raise _NoJson(schema) from None

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        return self._behind_function(schema)

    def function_wrap_schema(self, schema: core_schema.WrapValidatorFunctionSchema) -> JsonSchemaValue:
        return self._behind_function(schema)

    def function_plain_schema(self, schema: core_schema.PlainValidatorFunctionSchema) -> JsonSchemaValue:
        return {}

    def is_subclass_schema(self, schema: core_schema.IsSubclassSchema) -> JsonSchemaValue:
        return self.handle_invalid_for_json_schema(schema, "core_schema.IsSubclassSchema")

    def generator_schema(self, schema: core_schema.GeneratorSchema) -> JsonSchemaValue:
        return self.handle_invalid_for_json_schema(schema, "core_schema.GeneratorSchema")

    def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> None:
        if kind == "skipped-choice":
            raise PydanticInvalidForJsonSchema(detail)

    def _behind_function(self, schema: core_schema.CoreSchema) -> JsonSchemaValue:
        """A validator of a whole model leaves the fields to be read; for that of a field, its function answers."""
        while "schema" in schema and schema["type"].startswith("function-"):
            schema = schema["schema"]
        return self.generate_inner(schema) if schema["type"] in ("model", "model-fields") else {}


def _check_readable(model: type[BaseModel]) -> None:
    schema: core_schema.CoreSchema = model.__pydantic_core_schema__
    try:
        _Readable().generate(schema, mode="validation")
    except _NoJson as error:
        raise ModelError(
            f"{model.__name__} can't be stored: {error.place} is of a type that has no form in JSON; use one that"
            " Pydantic can read from JSON, or exclude the field and give it a default"
        ) from None
