"""From a model class to its codecs. What a type becomes is written here, and in :mod:`etcdorm.mapping.scalars`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, TypeGuard, get_args

from pydantic import BaseModel, PlainSerializer, WrapSerializer
from pydantic.fields import FieldInfo

from etcdorm.errors import ModelError
from etcdorm.mapping.annotations import Bare, allows_extra, bare, extra_type, is_model, mentioned
from etcdorm.mapping.codecs import AnyCodec, Codec, JsonCodec, ScalarCodec, Unstorable
from etcdorm.mapping.directories import Member, ModelCodec
from etcdorm.mapping.entries import MapCodec
from etcdorm.mapping.markers import AsJson, key_name
from etcdorm.mapping.scalars import reader
from etcdorm.mapping.secrets import holds_secret, is_sensitive
from etcdorm.mapping.values import dump
from etcdorm.path import encode_segment


class Compiler:
    """Makes the codecs of one model class and of the models in it, each once: they may refer to themselves."""

    def __init__(self, model: type[BaseModel]) -> None:
        self.model = model
        self._nested: dict[type[BaseModel], ModelCodec] = {}
        self._renames = False

    def compile(self, keys: Iterable[str]) -> ModelCodec:
        """The codec of the whole model; its key fields lie in the path, and nowhere else.

        Raises: ModelError for a field that can't be stored as it is marked; PydanticUndefinedAnnotation for a forward
        reference to a name that is not there yet.
        """
        codec = _empty(self.model)
        self._fill(codec, self.model, set(keys), self.model.__name__)
        codec.renames = self._renames
        return codec

    def codec(self, annotation: object, metadata: Iterable[object], where: str) -> Codec:
        """The codec of one annotated type; ``where`` names the field in errors."""
        found = bare(annotation, metadata)
        # Only JSON can tell what a serializer of the user's own gave back.
        if not any(isinstance(item, AsJson | PlainSerializer | WrapSerializer) for item in found.metadata):
            read = reader(found)
            if read is not None:
                return ScalarCodec(read, holds_secret(found.type, found.metadata))
            if found.origin in (dict, Mapping, MutableMapping):
                return MapCodec(self.codec((get_args(found.type) or (object, object))[1], (), where))
            if _is_plain_model(found.type):
                return self._nested_model(found.type, where)
        return _json_codec(found, where)

    def _nested_model(self, model: type[BaseModel], where: str) -> ModelCodec:
        if model not in self._nested:
            self._nested[model] = codec = _empty(model)
            self._fill(codec, model, set(), where)
        return self._nested[model]

    def _fill(self, codec: ModelCodec, model: type[BaseModel], keys: set[str], where: str) -> None:
        if not model.__pydantic_complete__:
            model.model_rebuild()
        opaque = _with_own_serializer(model)
        for name, field in model.model_fields.items():
            if name in keys or field.exclude:
                continue
            at = f"{where}.{name}"
            found = bare(field.annotation, field.metadata)
            own = _json_codec(found, at) if name in opaque else self.codec(field.annotation, field.metadata, at)
            key = key_name(found.metadata) or name
            if key in codec.names:
                raise ModelError(
                    f"{at}: its key {key!r} is that of {codec.names[key]} already; give one another KeyName"
                )
            self._renames = self._renames or key != name
            codec.add(
                name,
                Member(
                    name=key,
                    segment=encode_segment(key),
                    codec=own,
                    none_is_absence=field.default is None and field.default_factory is None,
                    empty_is_absence=_has_default_without_keys(field, own),
                    secret=is_sensitive(found.metadata),
                ),
            )
        if allows_extra(model):
            codec.extra = _extra_codec(extra_type(model), where)


def _empty(model: type[BaseModel]) -> ModelCodec:
    ignores_extra = model.model_config.get("extra", "ignore") == "ignore"
    return ModelCodec(frozenset(model.model_fields), keeps_unknown=ignores_extra, secret=holds_secret(model))


def _json_codec(found: Bare, where: str) -> JsonCodec:
    """One key with JSON.

    Raises: ModelError for a model within that has names of its own for keys: Pydantic reads it by those of its fields.
    """
    for part in mentioned(found.type):
        if is_model(part):
            for name, field in part.model_fields.items():
                if key_name(bare(field.annotation, field.metadata).metadata) is not None:
                    raise ModelError(
                        f"{where}: a {part.__name__} lies within JSON here, where its fields have their own names, so"
                        f" the KeyName of {part.__name__}.{name} would have no effect; take it off"
                    )
    return JsonCodec(holds_secret(found.type, found.metadata))


def _extra_codec(annotation: object, where: str) -> Codec:
    """The codec of extra fields; always of one key."""
    found = bare(annotation)
    if found.type is Any:
        return AnyCodec()
    read = reader(found)
    if read is None:
        return _json_codec(found, where)
    return ScalarCodec(read, holds_secret(found.type, found.metadata))


def _is_plain_model(annotation: object) -> TypeGuard[type[BaseModel]]:
    """Whether this is a model that is dumped field by field."""
    return (
        is_model(annotation)
        and not annotation.__pydantic_root_model__
        and not annotation.__pydantic_decorators__.model_serializers
    )


def _with_own_serializer(model: type[BaseModel]) -> set[str]:
    """The fields that a ``@field_serializer`` dumps."""
    serializers = model.__pydantic_decorators__.field_serializers.values()
    named = {name for serializer in serializers for name in serializer.info.fields}
    return set(model.model_fields) if "*" in named else named


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
