"""What a model class may not have, found when the class is made instead of when the first value is stored.

A courtesy: a type that slips through here is refused by ``Schema.encode``, which reads back whatever it writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from types import GenericAlias
from typing import Final

from pydantic import BaseModel, ConfigDict, Secret, SecretBytes, SecretStr, create_model
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, JsonSchemaWarningKind
from pydantic_core import CoreSchema, core_schema

from etcdorm.errors import ModelError
from etcdorm.mapping.annotations import mentioned
from etcdorm.mapping.values import comes_back

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
    for name, field in _stored(model):
        where = f"{model.__name__}.{name}"
        for part in mentioned(field.annotation):
            _check_type(part, where)
    _check_excluded(model, model.__name__)
    if _is_unreadable(model):
        _name_unreadable_field(model)


def _stored(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    return ((name, field) for name, field in model.model_fields.items() if not field.exclude)


def _check_type(part: object, where: str) -> None:
    if not isinstance(part, type):
        return
    if issubclass(part, SecretStr | SecretBytes | Secret):
        raise ModelError(
            f"{where}: secrets can't be stored yet, as Pydantic dumps {part.__name__} as asterisks;"
            " exclude the field and give it a default, or use str"
        )
    if issubclass(part, Enum) and not comes_back(GenericAlias(list, part), list(part)):
        raise ModelError(f"{where}: {part.__name__} has members that JSON does not give back; let them be str or int")
    if issubclass(part, BaseModel):
        _check_excluded(part, where)


def _check_excluded(model: type[BaseModel], where: str) -> None:
    for name, field in model.model_fields.items():
        if field.exclude and field.is_required():
            raise ModelError(f"{where}: {model.__name__}.{name} is excluded from what is stored, so it needs a default")


class _Readable(GenerateJsonSchema):
    """Goes through a type as JSON validation would, and fails at what has no form in JSON, as that would, always."""

    def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> None:
        if kind == "skipped-choice":
            raise PydanticInvalidForJsonSchema(detail)

    def is_subclass_schema(self, schema: core_schema.IsSubclassSchema) -> JsonSchemaValue:
        return self.handle_invalid_for_json_schema(schema, "core_schema.IsSubclassSchema")

    def generator_schema(self, schema: core_schema.GeneratorSchema) -> JsonSchemaValue:
        return self.handle_invalid_for_json_schema(schema, "core_schema.GeneratorSchema")

    def function_plain_schema(self, schema: core_schema.PlainValidatorFunctionSchema) -> JsonSchemaValue:
        return {}  # the user's own function may well take JSON


def _is_unreadable(model: type[BaseModel]) -> bool:
    schema: CoreSchema = model.__pydantic_core_schema__
    try:
        _Readable().generate(schema, mode="validation")
    except PydanticInvalidForJsonSchema:
        return True
    return False


def _name_unreadable_field(model: type[BaseModel]) -> None:
    config = ConfigDict(arbitrary_types_allowed=True)
    for name, field in _stored(model):
        alone = create_model(name, __config__=config, value=(field.rebuild_annotation(), ...))
        if _is_unreadable(alone):
            raise ModelError(
                f"{model.__name__}.{name}: {field.annotation} has no form in JSON, so it can't be stored; use a type"
                " that Pydantic can read from JSON, or exclude the field and give it a default"
            )
