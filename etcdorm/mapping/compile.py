"""From a model class to its codecs. What a type becomes is written here, and in :mod:`etcdorm.mapping.scalars`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import is_dataclass
from enum import EnumType
from types import GenericAlias
from typing import Literal, TypeGuard, get_args

from pydantic import BaseModel, PlainSerializer, WrapSerializer
from pydantic.fields import FieldInfo

from etcdorm.errors import ModelError
from etcdorm.mapping.annotations import Bare, bare, is_union, without_none
from etcdorm.mapping.codecs import Codec, JsonCodec, ScalarCodec, Unstorable
from etcdorm.mapping.directories import MapCodec, Member, ModelCodec
from etcdorm.mapping.markers import AsJson
from etcdorm.mapping.scalars import reader
from etcdorm.mapping.values import comes_back, dump
from etcdorm.path import encode_segment


class Compiler:
    """Makes the codecs of one model class and of the models in it, each once: they may refer to themselves."""

    def __init__(self, model: type[BaseModel], *, extra_allowed: bool) -> None:
        self.model = model
        self.extra_allowed = extra_allowed
        self._nested: dict[type[BaseModel], ModelCodec] = {}

    def compile(self, keys: Iterable[str]) -> ModelCodec:
        """The codec of the whole model; its key fields lie in the path, and nowhere else.

        Raises: ModelError for a field that can't lie in a directory; PydanticUndefinedAnnotation for a forward
        reference to a name that is not there yet.
        """
        codec = ModelCodec(keeps_unknown=_ignores_extra(self.model))
        self._fill(codec, self.model, set(keys), self.model.__name__)
        return codec

    def codec(self, annotation: object, metadata: Iterable[object], where: str) -> Codec:
        """The codec of one annotated type; ``where`` names the field in errors."""
        found = bare(annotation, metadata)
        if any(isinstance(item, AsJson | PlainSerializer | WrapSerializer) for item in found.metadata):
            return JsonCodec()  # only JSON can tell what a serializer of the user's own gave back
        read = reader(found)
        if read is not None:
            return ScalarCodec(read)
        if found.origin in (dict, Mapping, MutableMapping):
            return self._map(found, where)
        if _is_plain_model(found.type):
            return self._nested_model(found.type, where)
        return JsonCodec()

    def _map(self, found: Bare, where: str) -> Codec:
        key, item = get_args(found.type) or (object, object)
        if not _can_name_entries(bare(key)):
            raise ModelError(f"{where}: {key} can't be a key in JSON or etcd; let the keys be strings or other scalars")
        return MapCodec(self.codec(item, (), where))

    def _nested_model(self, model: type[BaseModel], where: str) -> ModelCodec:
        if model not in self._nested:
            self._nested[model] = codec = ModelCodec(keeps_unknown=_ignores_extra(model))
            self._fill(codec, model, set(), where)
        return self._nested[model]

    def _fill(self, codec: ModelCodec, model: type[BaseModel], keys: set[str], where: str) -> None:
        if not model.__pydantic_complete__:
            model.model_rebuild()
        if model.model_config.get("extra") == "allow" and not self.extra_allowed:
            raise ModelError(
                f"{where}: {model.__name__} allows extra fields, which a directory can't hold yet;"
                ' use layout="document" or mark the field with AsJson()'
            )
        opaque = _with_own_serializer(model)
        for name, field in model.model_fields.items():
            if name in keys or field.exclude:
                continue
            at = f"{where}.{name}"
            own = JsonCodec() if name in opaque else self.codec(field.annotation, field.metadata, at)
            codec.members[name] = Member(
                segment=encode_segment(name),
                codec=own,
                none_is_absence=field.default is None and field.default_factory is None,
                empty_is_absence=_has_default_without_keys(field, own),
            )


def _ignores_extra(model: type[BaseModel]) -> bool:
    return model.model_config.get("extra", "ignore") == "ignore"


def _is_plain_model(annotation: object) -> TypeGuard[type[BaseModel]]:
    """Whether this is a model that is dumped field by field."""
    return (
        isinstance(annotation, type)
        and issubclass(annotation, BaseModel)
        and not annotation.__pydantic_root_model__
        and not annotation.__pydantic_decorators__.model_serializers
    )


def _with_own_serializer(model: type[BaseModel]) -> set[str]:
    """The fields that a ``@field_serializer`` dumps."""
    serializers = model.__pydantic_decorators__.field_serializers.values()
    named = {name for serializer in serializers for name in serializer.info.fields}
    return set(model.model_fields) if "*" in named else named


def _can_name_entries(key: Bare) -> bool:
    """Whether keys of this type may come back from strings; where that hangs on the value, storing it will tell."""
    if key.metadata:
        return True  # it may have a validator that reads them
    if is_union(key.type):
        return all(_can_name_entries(bare(member)) for member in without_none(key.type))
    if choices := _choices(key):
        return comes_back(GenericAlias(dict, (key.type, None)), dict.fromkeys(choices))
    is_container = isinstance(key.origin, type) and issubclass(key.origin, tuple | frozenset)
    return not (is_container or is_dataclass(key.origin) or _is_plain_model(key.type))


def _choices(bare: Bare) -> list[object]:
    """The values of an Enum or Literal; none for any other type."""
    if bare.origin is Literal:
        return list(get_args(bare.type))
    return list(bare.origin) if isinstance(bare.origin, EnumType) else []


def _has_default_without_keys(field: FieldInfo, codec: Codec) -> bool:
    """Whether leaving out all keys of an empty map or nested model gives an equal one back."""
    if field.default_factory is not None:
        return field.default_factory is dict and isinstance(codec, MapCodec)
    if isinstance(codec, MapCodec):
        return bool(field.default == {})
    if not (isinstance(codec, ModelCodec) and isinstance(field.default, BaseModel)):
        return False
    keys: dict[str, str] = {}
    try:
        codec.encode(dump(field.default), "", keys)
    except (ValueError, Unstorable):
        return False
    return not keys
