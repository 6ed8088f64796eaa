"""Whether JSON validation could ever make a model: goes through Pydantic's own schema for what JSON has no form for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from pydantic import BaseModel
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, JsonSchemaWarningKind
from pydantic_core import PydanticSerializationError, SchemaSerializer, SchemaValidator, core_schema

from etcdorm.errors import ModelError

_NO_FORM: Final = "of a type that has no form in JSON; use one that Pydantic can read from JSON"

_NEVER_TEXT: Final = frozenset(
    {
        *("none", "list", "tuple", "set", "frozenset", "generator", "dict", "typed-dict", "tagged-union"),
        *("model", "model-fields", "dataclass", "dataclass-args", "call", "arguments", "named-tuple", "callable"),
    }
)
"""Types of Pydantic's core schema that are never read from a text, as the key of a map is one."""


def check_readable(model: type[BaseModel]) -> None:
    """Raise ModelError for a model with a field that JSON validation would always refuse."""
    schema: core_schema.CoreSchema = model.__pydantic_core_schema__
    readable = _Readable()
    try:
        readable.generate(schema, mode="validation")
    except PydanticInvalidForJsonSchema as error:
        place, why = (error.place, error.why) if isinstance(error, _NoJson) else (model.__name__, readable.why)
        raise ModelError(
            f"{model.__name__} can't be stored: {place} is {why}, or exclude the field and give it a default"
        ) from None


class _NoJson(PydanticInvalidForJsonSchema):
    """A field, of the model or of one within it, has no form in JSON."""

    def __init__(self, field: core_schema.ModelField, why: str) -> None:
        super().__init__(why)
        self.field = field
        self.why = why
        self.place = ""


class _Readable(GenerateJsonSchema):
    """Goes through a model as JSON validation would, and fails at what that always refuses, such as a callable.

    Where a function of the user's own comes first, it may well make such a value of JSON.
    """

    def __init__(self) -> None:
        super().__init__()
        self.why = _NO_FORM
        self._named: dict[str, core_schema.CoreSchema] = {}

    def generate_inner(self, schema: Any) -> JsonSchemaValue:  # Any: a core schema or a field, in a union of its own
        if "keys_schema" in schema and not self._is_read_from_text(schema["keys_schema"]):
            self._refuse("a map whose keys can't be keys in JSON; let them be strings or other scalars")
        return super().generate_inner(schema)

    def model_fields_schema(self, schema: core_schema.ModelFieldsSchema) -> JsonSchemaValue:
        fields = {name: field for name, field in schema["fields"].items() if not field.get("serialization_exclude")}
        try:
            if "extras_schema" in schema:
                fields["__pydantic_extra__"] = core_schema.model_field(schema["extras_schema"])
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
            raise _NoJson(schema, self.why) from None

    def dataclass_args_schema(self, schema: core_schema.DataclassArgsSchema) -> JsonSchemaValue:
        for field in schema["fields"]:
            if field.get("init_only") or field.get("serialization_exclude"):
                self._check_default(field["schema"], field["name"])
        return super().dataclass_args_schema(schema)

    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> JsonSchemaValue:
        for name, field in schema["fields"].items():
            if field.get("serialization_exclude") and self.field_is_required(field, schema.get("total", True)):
                self._check_default(field["schema"], name)
        return super().typed_dict_schema(schema)

    def literal_schema(self, schema: core_schema.LiteralSchema) -> JsonSchemaValue:
        if any(isinstance(member, bytes) for member in schema["expected"]):
            return self.handle_invalid_for_json_schema(schema, "a Literal of bytes")
        if not _come_back(schema, schema["expected"]):
            self._refuse("a Literal that can't be read back from JSON; let it be of strings, numbers or such members")
        return super().literal_schema(schema)

    def enum_schema(self, schema: core_schema.EnumSchema) -> JsonSchemaValue:
        if not _come_back(schema, schema["members"]):
            self._refuse("an Enum with values that can't be read back from JSON; let them be strings or numbers")
        return super().enum_schema(schema)

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

    def definitions_schema(self, schema: core_schema.DefinitionsSchema) -> JsonSchemaValue:
        self._named |= {str(definition.get("ref")): definition for definition in schema["definitions"]}
        return super().definitions_schema(schema)

    def encode_default(self, dft: object) -> object:
        """Nothing, as no default is stored; some, such as a ``Secret``, Pydantic can't encode without their type."""
        return None

    def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> None:
        if kind == "skipped-choice":
            raise PydanticInvalidForJsonSchema(detail)

    def _behind_function(self, schema: core_schema.CoreSchema) -> JsonSchemaValue:
        """A validator of a whole model leaves the fields to be read; for that of a field, its function answers."""
        while "schema" in schema and schema["type"].startswith("function-"):
            schema = schema["schema"]
        return self.generate_inner(schema) if schema["type"] in ("model", "model-fields") else {}

    def _refuse(self, why: str) -> None:
        self.why = why
        raise PydanticInvalidForJsonSchema(why)

    def _check_default(self, schema: core_schema.CoreSchema, name: str) -> None:
        if schema["type"] != "default":
            self._refuse(f"made of {name!r}, which is not stored; give {name!r} a default")

    def _is_read_from_text(self, schema: core_schema.CoreSchema) -> bool:
        """Whether keys of this type may come back from texts; where that hangs on the value, storing it will tell."""
        match schema["type"]:
            case "definition-ref":
                return self._is_read_from_text(self._named[schema["schema_ref"]])
            case "nullable" | "default":
                return self._is_read_from_text(schema["schema"])
            case "union":
                choices = [choice[0] if isinstance(choice, tuple) else choice for choice in schema["choices"]]
                return all(self._is_read_from_text(choice) for choice in choices)
            case "enum":
                return _come_back_as_keys(schema, schema["members"])
            case "literal":
                return _come_back_as_keys(schema, schema["expected"])
        return schema["type"] not in _NEVER_TEXT


def _come_back(schema: core_schema.CoreSchema, choices: Iterable[object]) -> bool:
    validator, serializer = SchemaValidator(schema), SchemaSerializer(schema)
    try:
        return all(validator.validate_json(serializer.to_json(choice)) == choice for choice in choices)
    except ValueError:
        return False


def _come_back_as_keys(schema: core_schema.CoreSchema, choices: Iterable[object]) -> bool:
    keys = dict.fromkeys(choices)
    both = core_schema.dict_schema(schema, core_schema.none_schema())
    try:
        found: object = SchemaValidator(both).validate_json(SchemaSerializer(both).to_json(keys))
    except ValueError:
        return False
    return found == keys
