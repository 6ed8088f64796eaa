"""A model class as the session uses it: where its records lie, and how they are written and read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, Literal, TypeVar

from pydantic import BaseModel, JsonValue
from pydantic.errors import PydanticUndefinedAnnotation

from etcdorm.errors import DecodeError, EncodeError, FieldFailure, ModelError, UsageError
from etcdorm.mapping.certain import Certain
from etcdorm.mapping.checks import check_fields
from etcdorm.mapping.codecs import ABSENT, Decoded, Unstorable, from_json, to_json
from etcdorm.mapping.compile import Compiler
from etcdorm.mapping.differ import Differ
from etcdorm.mapping.hooks import Hooks
from etcdorm.mapping.keys import KeyField
from etcdorm.mapping.paths import Paths
from etcdorm.mapping.reader import Reader
from etcdorm.mapping.secrets import hide
from etcdorm.mapping.template import Template
from etcdorm.mapping.tree import SCHEMA
from etcdorm.mapping.values import differing, dump, same
from etcdorm.mapping.versions import Versions
from etcdorm.path import Path
from etcdorm.store.types import KEEP, Ttl

M = TypeVar("M", bound=BaseModel)
Layout = Literal["directory", "document"]

DECLARATION: Final = "__etcd_declaration__"
"""The class attribute with a class's own or inherited Declaration."""
_SCHEMA: Final = "__etcd_schema__"


@dataclass(frozen=True, slots=True)
class Declaration:
    """What the line ``class Node(EtcdModel, path=..., layout=..., ...)`` says; an abstract class has no path."""

    path: str | None = None
    layout: Layout | None = None
    ttl: Ttl = KEEP
    """KEEP when the class leaves it to the session."""
    version: int = 1


class Schema(Paths[M]):
    """One model class, compiled.

    Raises: ModelError for a class that can't be mapped, naming the field; PydanticUndefinedAnnotation while a forward
    reference is open.
    """

    def __init__(
        self, model: type[M], path: str, layout: Layout | None = None, ttl: Ttl = KEEP, version: int = 1
    ) -> None:
        template = Template.parse(path)
        if not model.__pydantic_complete__:
            model.model_rebuild()
        check_fields(model, template.fields)
        hide(model)
        compiler = Compiler(model)
        super().__init__(model, template, {name: _key_field(model, name, compiler) for name in template.fields})
        self.layout: Final = layout
        """None when the class leaves it to the session."""
        self.ttl: Final = ttl
        self.hooks: Final = Hooks.of(model)
        self.versions: Final = Versions(model, version)
        self._in_path = set(template.fields)
        self._codec = compiler.compile(keys=template.fields)
        self._reader = Reader(model, self._codec)
        self.differ: Final = Differ(model, self._codec)
        self.certain: Final = Certain(model)

    def encode(self, model: M, *, document: bool, onto: Mapping[str, str] | None = None) -> dict[str, str]:
        """The record's fields: relative keys and their texts; in a document, the one key "".

        ``onto`` is what the record holds now: a document's members that the model does not know are kept.
        The fields are read back before they are returned, so that no value gets into etcd that would not come out.
        Raises: EncodeError naming the fields, never their values.
        """
        fields = self.write(model, document=document, onto=onto)
        self.check(model, fields)
        return fields

    def write(
        self,
        model: M,
        *,
        document: bool,
        onto: Mapping[str, str] | None = None,
        only: set[str] | None = None,
        was: M | None = None,
    ) -> dict[str, str]:
        """As ``encode``, or ``only`` some of the model's fields; they are not read back.

        ``was`` is the model of what the record holds now: what is the same in both stays as it is in a document, with
        all that the model does not know in it.
        Raises: EncodeError.
        """
        values = self._dump(model, only=only)
        try:
            if not document:
                return self._write_directory(values)
            return self._write_document(values, onto or {}, ABSENT if was is None else self._dump(was))
        except Unstorable as error:
            raise self._refusal([(self._codec.field(error.key), error.problem)]) from None

    def decode(self, path: Path, fields: Mapping[str, str]) -> M:
        """The model of a record, in whichever layout it is, and of this version or an older one.

        Raises: DecodeError naming every key that does not fit; UsageError when the path is not one of this class.
        """
        texts = self.template.match(path)
        if texts is None:
            raise self.not_mine(path)
        current = self.versions.upgraded(path, fields)
        read = self._reader.read(current, {name: self.keys[name].read(text) for name, text in texts.items()})
        if not isinstance(read, list):
            misspelt = self.misspelt(read, texts)
            if not misspelt:
                return read
            read = [
                FieldFailure("", name, "the path spells it in another way than the field does") for name in misspelt
            ]
        # The keys and texts may be no more than what the upgrades have made of those in etcd.
        how = "" if current is fields else f" (as upgraded to version {self.versions.number})"
        failures = [replace(item, key=str(path / item.key), problem=item.problem + how) for item in read]
        raise DecodeError(str(path), self.name, failures)

    def check(self, model: M, fields: Mapping[str, str]) -> None:
        """Raise EncodeError unless these fields of a record give an equal model."""
        if lost := self.lost(model, fields):
            raise self._refusal((name, f"the value would come back as another one{_why(model, name)}") for name in lost)

    def lost(self, model: M, fields: Mapping[str, str]) -> list[str]:
        """What another model than this one comes out of these fields of a record with: the names of what differs.

        Raises: EncodeError when none comes out.
        """
        keys: dict[str, JsonValue] = {}
        for name, key in self.keys.items():
            try:
                keys[name] = key.dump(getattr(model, name, None))
            except (ValueError, TypeError):
                raise self._refusal([(name, "Pydantic can't dump this value")]) from None
        read = self._reader.read(fields, keys)
        if isinstance(read, list):
            raise self._refusal((item.field, item.problem) for item in read)
        try:
            return differing(model, read)
        except ArithmeticError:
            names = [name for name in model.__dict__ if not _can_be_compared(model, read, name)]
        raise self._refusal((name, "a signalling NaN can't be compared with what came back") for name in names)

    def keys_of(self, names: Iterable[str]) -> set[str]:
        """The keys of these fields, which are scalars."""
        return {self._codec.members[name].segment for name in names}

    def owns(self, key: str) -> bool:
        """Whether a relative key belongs to the model, its markers included; "" is the key of a document."""
        return key == SCHEMA or self._codec.owns(key)

    @property
    def has_secrets(self) -> bool:
        return self._codec.secret

    def _dump(self, model: M, *, only: set[str] | None = None) -> JsonValue:
        try:
            return dump(model, only=only, without=self._in_path)
        except (ValueError, TypeError) as error:
            given = (*self._codec.members, *(model.model_extra or {}))
            names = [name for name in given if not _can_be_dumped(model, name)]
            # A model has its own settings, also within another one.
            hint = ": bytes that are no UTF-8, in a model without ser_json_bytes and val_json_bytes in its model_config"
            problem = f"Pydantic can't dump this value{hint if 'invalid utf-8' in str(error) else ''}"
        raise self._refusal((name, problem) for name in names or ["*"])

    def _write_directory(self, values: JsonValue) -> dict[str, str]:
        fields: dict[str, str] = {}
        self._codec.encode(values, "", fields)
        if self.versions.number > 1:
            fields[SCHEMA] = str(self.versions.number)
        return fields

    def _write_document(self, values: JsonValue, onto: Mapping[str, str], was: Decoded) -> dict[str, str]:
        if isinstance(values, dict) and SCHEMA in values:
            raise Unstorable(SCHEMA, "the name is kept for the version of the class; give the field another one")
        if self._codec.renames:
            values = self._codec.to_document(values, "")
            was = was if was is ABSENT else self._codec.to_document(was, "")
        old = from_json(onto[""], "", []) if "" in onto else ABSENT
        body = values if old is ABSENT else self._codec.keep(old, was, values)
        try:
            return {"": to_json(self.versions.stamp(body), "")}
        except Unstorable:
            if isinstance(values, dict):
                for name, value in values.items():
                    to_json(value, name)  # raises for the field that it was
            raise

    def _refusal(self, problems: Iterable[tuple[str, str]]) -> EncodeError:
        lines = [f"  {self.name}.{field}: {problem}" for field, problem in problems]
        return EncodeError("\n".join([f"this {self.name} can't be stored:", *lines]))


def compile_schema(cls: type[M]) -> Schema[M]:
    """The schema of a model class; made when it is first asked for, and kept on the class.

    Raises: ModelError for an abstract class or one that can't be mapped; PydanticUndefinedAnnotation while a forward
    reference is open.
    """
    known: object = cls.__dict__.get(_SCHEMA)
    if isinstance(known, Schema):
        return known
    declaration: object = getattr(cls, DECLARATION, None)
    if not isinstance(declaration, Declaration) or declaration.path is None:
        raise ModelError(
            f'{cls.__name__} has no path to be stored at: class {cls.__name__}(..., path="/some/{{field}}")'
        )
    schema = Schema(cls, declaration.path, declaration.layout, declaration.ttl, declaration.version)
    setattr(cls, _SCHEMA, schema)
    return schema


def schema_of(cls: type[M]) -> Schema[M]:
    """The schema of a model class.

    Raises: ModelError when it has none, and why; UsageError for what is no model class at all.
    """
    known: object = getattr(cls, "__dict__", {}).get(_SCHEMA)
    if isinstance(known, Schema):
        return known
    given: object = cls
    if not isinstance(given, type):
        raise UsageError(f"a model class is needed here, not an object of {type(given).__name__}")
    if issubclass(given, type):
        raise UsageError("an object of a model class is needed here, not the class itself")
    if not isinstance(getattr(given, DECLARATION, None), Declaration):
        raise UsageError(
            f"{given.__name__} is not a class made of EtcdModel; what is stored is an object of such a class"
        )
    try:
        return compile_schema(cls)
    except PydanticUndefinedAnnotation as error:
        raise ModelError(
            f"{cls.__name__} refers to {error.name!r}, which is not defined yet; when it is,"
            f" call {cls.__name__}.model_rebuild()"
        ) from error


def _key_field(model: type[BaseModel], name: str, compiler: Compiler) -> KeyField:
    field = model.model_fields[name]
    return KeyField(model, name, compiler.codec(field.annotation, field.metadata, f"{model.__name__}.{name}"))


def _why(model: BaseModel, name: str) -> str:
    value: object = getattr(model, name, None)
    if type(value).__eq__ is object.__eq__ and not isinstance(value, Enum):
        return f", as a {type(value).__name__} is equal to itself alone: give its class an __eq__"
    field = type(model).model_fields.get(name)
    if field is None or field.default is None or value is not field.default:
        return ""
    return "; it is the default, which Pydantic does not validate unless validate_default=True is set"


def _can_be_compared(a: BaseModel, b: BaseModel, name: str) -> bool:
    try:
        same(getattr(a, name, None), getattr(b, name, None))
    except ArithmeticError:
        return False
    return True


def _can_be_dumped(model: BaseModel, name: str) -> bool:
    try:
        dump(model, only={name})
    except (ValueError, TypeError):
        return False
    return True
