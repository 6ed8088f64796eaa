"""A model class as the session uses it: where its records lie, and how they are written and read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeVar

import pydantic_core
from pydantic import BaseModel, JsonValue, ValidationError
from pydantic.errors import PydanticUndefinedAnnotation

from etcdorm.errors import DecodeError, EncodeError, FieldFailure, ModelError, UsageError
from etcdorm.mapping.checks import check_fields
from etcdorm.mapping.codecs import ABSENT, Location, Problem, Unstorable, from_json, to_json
from etcdorm.mapping.compile import Compiler
from etcdorm.mapping.keys import KeyField
from etcdorm.mapping.template import Template
from etcdorm.mapping.tree import Tree, dotted
from etcdorm.mapping.values import differing, dump
from etcdorm.path import Path
from etcdorm.store.types import Collection

M = TypeVar("M", bound=BaseModel)
Layout = Literal["directory", "document"]

# Pydantic's messages quote no input, but for this one.
_QUOTES_INPUT: Final = {"union_tag_invalid": "Input does not have one of the expected tags"}


@dataclass(frozen=True, slots=True)
class Declaration:
    """What the line ``class Node(EtcdModel, path=..., layout=...)`` says; ``path`` is None for an abstract class."""

    path: str | None = None
    layout: Layout = "directory"


class Schema(Generic[M]):
    """One model class, compiled.

    Raises: ModelError for a class that can't be mapped, naming the field; PydanticUndefinedAnnotation while a forward
    reference is open.
    """

    def __init__(self, model: type[M], path: str, layout: Layout) -> None:
        self.model = model
        self.layout = layout
        self.template = Template.parse(path)
        for name in self.template.fields:
            if name not in model.model_fields:
                raise ModelError(f"{model.__name__}: the path {path!r} names {name!r}, which is not a field; declare it")
        if not model.__pydantic_complete__:
            model.model_rebuild()
        check_fields(model)
        compiler = Compiler(model, extra_allowed=layout == "document")
        self._codec = compiler.compile(keys=self.template.fields)
        fields = {name: model.model_fields[name] for name in self.template.fields}
        self._keys = {
            name: KeyField(model, name, compiler.codec(field.annotation, field.metadata, f"{model.__name__}.{name}"))
            for name, field in fields.items()
        }

    # Where records lie

    def path(self, model: M) -> Path:
        """The path of a model's record.

        Raises: UsageError when a key field is None or can't be read back from a path.
        """
        return self.template.format({name: key.text(getattr(model, name, None)) for name, key in self._keys.items()})

    def path_from(self, args: tuple[object, ...], fields: Mapping[str, object]) -> Path:
        """The path of the record with these keys, given in the order of the template or by name.

        Raises: UsageError for a key that is missing, unknown, given twice or not of its field's type.
        """
        names = self.template.fields
        if len(args) > len(names):
            raise UsageError(f"{self._name} has {len(names)} key field(s), {self._list(names)}, but {len(args)} were given")
        given = dict(zip(names, args, strict=False))
        if twice := given.keys() & fields.keys():
            raise UsageError(f"{self._name}: {self._list(twice)} was given twice, by position and by name")
        given.update(fields)
        if missing := [name for name in names if name not in given]:
            raise UsageError(f"{self._name} needs a value for {self._list(missing)}")
        return self.template.format(self._texts(given))

    def match(self, path: Path) -> dict[str, object] | None:
        """The typed keys of a path, or None when it is not one that this class makes."""
        texts = self.template.match(path)
        if texts is None:
            return None
        keys = {name: self._keys[name].value(text) for name, text in texts.items()}
        return None if None in keys.values() else keys

    def collection(self, fields: Mapping[str, object]) -> Collection:
        """The records of this class, narrowed by any of the key fields.

        Raises: UsageError for a field that is not a key, or a value that is not of its type.
        """
        return self.template.collection(self._texts(fields))

    def append_directory(self, model: M) -> Path:
        """The directory in which the store is to make the model's last key.

        Raises: UsageError when the path does not end in a whole segment of free text.
        """
        last = self.template.sequential
        if last is None or not self._keys[last].is_free_text:
            raise UsageError(
                f"{self._name} can't be appended: its path {self.template.text!r} must end in a segment like '/{{id}}',"
                " and that field be a str, as the store makes up its value"
            )
        others = {name: key.text(getattr(model, name, None)) for name, key in self._keys.items() if name != last}
        return self.template.format({**others, last: ""}).parent

    def with_key(self, model: M, path: Path) -> None:
        """Set a model's key fields from a path, also on a frozen model.

        Raises: UsageError when the path is not one of this class.
        """
        keys = self.match(path)
        if keys is None:
            raise UsageError(f"{path} is not a path of {self._name}, {self.template.text!r}")
        model.__dict__.update(keys)
        model.__pydantic_fields_set__.update(keys)

    # What records hold

    def encode(self, model: M, *, document: bool, onto: Mapping[str, str] | None = None) -> dict[str, str]:
        """The record's fields: relative keys and their texts; for a document, the one key "".

        ``onto`` is what the record holds now: in a document, members that the model does not know are kept.
        What is returned has been read back, so that a value which could not be loaded again never reaches etcd.
        Raises: EncodeError naming the fields, never their values.
        """
        values = self._dump(model)
        fields: dict[str, str] = {}
        try:
            if document:
                old = from_json(onto[""], "", []) if onto and "" in onto else ABSENT
                fields[""] = to_json(values if old is ABSENT else self._codec.keep(old, values), "")
            else:
                self._codec.encode(values, "", fields)
        except Unstorable as error:
            raise self._encode_error([(error.key, error.problem)]) from None
        self._check(model, fields)
        return fields

    def decode(self, path: Path, fields: Mapping[str, str]) -> M:
        """The model of a record.

        Raises: DecodeError naming every key that does not fit; UsageError when the path is not of this class.
        """
        texts = self.template.match(path)
        if texts is None:
            raise UsageError(f"{path} is not a path of {self._name}, {self.template.text!r}")
        model, problems = self._read(fields, {name: self._keys[name].read(text) for name, text in texts.items()})
        if model is not None and not problems and self.path(model) != path:
            problems = [FieldFailure("", name, "the path spells it in another way than its type does") for name in texts]
        if model is None or problems:
            failures = [FieldFailure(str(path / item.key), item.field, item.problem) for item in problems]
            raise DecodeError(str(path), self._name, failures)
        return model

    def owns(self, key: str) -> bool:
        """Whether a relative key belongs to the model; "" is the key of a document."""
        return self._codec.owns(key)

    # Inside

    @property
    def _name(self) -> str:
        return self.model.__name__

    def _texts(self, fields: Mapping[str, object]) -> dict[str, str]:
        if unknown := [name for name in fields if name not in self._keys]:
            raise UsageError(f"{self._list(unknown)} is not a key of {self._name}; the keys are {self._list(self._keys)}")
        keys = {name: self._keys[name] for name in fields}
        return {name: key.text(key.validate(fields[name])) for name, key in keys.items()}

    def _dump(self, model: M) -> JsonValue:
        keys = set(self._keys)
        try:
            return dump(model, without=keys)
        except (ValueError, TypeError):
            pass
        bad = [name for name in self._codec.members if not _can_be_dumped(model, name)]
        raise self._encode_error([(name, "Pydantic can't dump its value") for name in bad or ["*"]])

    def _check(self, model: M, fields: Mapping[str, str]) -> None:
        """Raise EncodeError unless the fields, read back, give an equal model."""
        try:
            keys = {name: key.dump(getattr(model, name, None)) for name, key in self._keys.items()}
            again, problems = self._read(fields, keys)
        except ValueError:
            raise self._encode_error([("*", "a key holds a value that its type can't dump")]) from None
        if problems or again is None:
            raise self._encode_error([(item.field, item.problem) for item in problems])
        if lost := differing(model, again):
            raise self._encode_error([(name, "its value would come back as another one") for name in lost])

    def _read(self, fields: Mapping[str, str], keys: Mapping[str, JsonValue]) -> tuple[M | None, list[FieldFailure]]:
        """A model and no failures, or the failures, their keys relative."""
        found: list[Problem] = []
        is_document = "" in fields
        body = self._parse_document(fields[""], found) if is_document else self._parse_directory(fields, found)
        failures = [FieldFailure(item.key, dotted(item.key) or "*", item.text) for item in found]
        if is_document and found:
            return None, failures
        try:
            text = pydantic_core.to_json({**body, **keys})
            return self.model.__pydantic_validator__.validate_json(text, by_alias=False, by_name=True), failures
        except ValidationError as error:
            return None, failures + self._invalid(error, found, is_document)

    def _parse_document(self, text: str, problems: list[Problem]) -> dict[str, JsonValue]:
        value = from_json(text, "", problems)
        if isinstance(value, dict):
            return value
        if value is not ABSENT:
            problems.append(Problem("", "JSON, but not an object"))
        return {}

    def _parse_directory(self, fields: Mapping[str, str], problems: list[Problem]) -> dict[str, JsonValue]:
        value = self._codec.decode(Tree.grow(fields), problems)
        return value if isinstance(value, dict) else {}

    def _invalid(self, error: ValidationError, found: list[Problem], is_document: bool) -> list[FieldFailure]:
        """Pydantic's errors, but for those that only follow from a key that could not be read at all."""
        failures: list[FieldFailure] = []
        for item in error.errors(include_input=False, include_url=False, include_context=False):
            key = "" if is_document else self._codec.locate(item["loc"])
            if not any(problem.key == key or problem.key.startswith(f"{key}/") or not key for problem in found):
                message = _QUOTES_INPUT.get(item["type"], item["msg"])
                failures.append(FieldFailure(key, _field_path(item["loc"]), message))
        return failures

    def _encode_error(self, problems: list[tuple[str, str]]) -> EncodeError:
        lines = [f"  {dotted(key) or '*'}: {problem}" for key, problem in problems]
        return EncodeError("\n".join([f"this {self._name} can't be stored:", *lines]))

    @staticmethod
    def _list(names: object) -> str:
        return ", ".join(names)


def schema_of(cls: type[M]) -> Schema[M]:
    """The schema of a model class; made when it is first asked for, and kept on the class.

    Raises: ModelError for an abstract class, one that can't be mapped, or one whose forward references are still open.
    """
