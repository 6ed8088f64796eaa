"""What a model class may not have, found when the class is made instead of when the first value is stored.

A courtesy: a type that slips through here is refused by ``Schema.encode``, which reads back whatever it writes.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Collection, Iterable, Mapping, MutableMapping
from typing import Any, Final, get_args, get_origin, is_typeddict

from pydantic import BaseModel, EncodedBytes, EncodedStr, Json
from pydantic.errors import PydanticUserError

from etcdorm.errors import ModelError, PathError
from etcdorm.mapping.annotations import Bare, allows_extra, bare, extra_type, is_model, mentioned
from etcdorm.mapping.markers import AsJson, KeyName, Merge, Sensitive, key_name, merge_rule
from etcdorm.mapping.readable import check_readable
from etcdorm.mapping.secrets import holds_secret, is_sensitive
from etcdorm.path import encode_segment

RESERVED: Final = frozenset({"etcd", "key", "match_key"})
"""The public names of EtcdModel, which a field would hide."""

_ENCODED: Final = (EncodedBytes, EncodedStr, Json)
_MARKERS: Final = (AsJson, KeyName, Merge, Sensitive)
_MAPS: Final = (dict, Mapping, MutableMapping, defaultdict, OrderedDict, Counter)


def check_names(model: type, names: Iterable[str]) -> None:
    """Raise ModelError for a field that would hide a name of EtcdModel's own."""
    for name in RESERVED.intersection(names):
        raise ModelError(f"{model.__name__}.{name}: every EtcdModel has {name!r} already; give the field another name")


def unknown_type(model: type[BaseModel], error: PydanticUserError) -> ModelError:
    """The error for a model with a type that Pydantic can't take, which names that type alone, or nothing."""
    names = [
        name
        for name, field in model.model_fields.items()
        if any(f" for {part!r}." in error.message or is_typeddict(part) for part in mentioned(field.annotation))
    ]
    where = ".".join([model.__name__, *names[:1]])
    return ModelError(f"{where}: {error.message}")


def check_fields(model: type[BaseModel], keys: Iterable[str]) -> None:
    """Raise ModelError for a field that could not be stored and come back; ``keys`` names the fields of the path."""
    check_names(model, model.model_fields)
    if model.__pydantic_root_model__:
        raise ModelError(f"{model.__name__}: a RootModel has no fields to store; put it into a field of an EtcdModel")
    _check_path(model, keys)
    _check_model(model, model.__name__)
    types = {name: field.annotation for name, field in model.model_fields.items() if not field.exclude}
    for name, annotation in types.items():
        for part in mentioned(annotation):
            if is_model(part) and part is not model:
                _check_model(part, f"{model.__name__}.{name}: {part.__name__}")
    check_readable(model)


def _check_path(model: type[BaseModel], keys: Iterable[str]) -> None:
    """What can't be a key field, whatever its type."""
    for name in keys:
        field = model.model_fields.get(name)
        if field is None:
            raise ModelError(f"{model.__name__}: {name!r} is in the path but is not a field of the model; declare it")
        where = f"{model.__name__}.{name}"
        found = bare(field.annotation, field.metadata)
        if key_name(found.metadata) is not None:
            raise ModelError(f"{where} is part of the path and has no key of its own; take off its KeyName")
        if any(item is Json or isinstance(item, _ENCODED) for item in (found.type, *found.metadata)):
            raise ModelError(
                f"{where} is part of the path, and its type takes something else than the value that it gives, so that "
                "a key could be either; let it be of a plain type"
            )
        if merge_rule(found.metadata) is not None:
            raise ModelError(f"{where} is part of the path, and two edits of it make two records; take off its Merge")
        if holds_secret(field.annotation, field.metadata):
            raise ModelError(
                f"{where} is secret, and a part of the path, which errors and logs show; take it out of the path"
            )


def _check_model(model: type[BaseModel], where: str) -> None:
    """A model, or one within it, which ``where`` names."""
    for name, field in model.model_fields.items():
        at = f"{where}.{name}"
        found = bare(field.annotation, field.metadata)
        for part in (*found.metadata, *mentioned(found.type, into_models=False)):
            if any(part is marker for marker in _MARKERS):
                name_of = getattr(part, "__name__", "")
                raise ModelError(f"{at}: the marker {name_of} does nothing without its parentheses: {name_of}(...)")
        if field.exclude:
            if field.is_required():
                raise ModelError(f"{at} is excluded from what is stored, so it needs a default")
            if key_name(found.metadata) is not None:
                raise ModelError(f"{at} is excluded from what is stored and has no key; take off its KeyName")
            if merge_rule(found.metadata) is not None:
                raise ModelError(f"{at} is excluded from what is stored, so nobody else edits it; take off its Merge")
            continue
        if model.__pydantic_root_model__ and is_sensitive(found.metadata):
            raise ModelError(
                f"{at}: a RootModel shows its root in its repr; put Sensitive() on the field that holds it"
            )
        name_in_etcd = key_name(found.metadata)
        if name_in_etcd is not None:
            _check_key_name(name_in_etcd, at)
        _check_type(found.type, at)
        _check_union(found, at)
    if allows_extra(model):
        extra = bare(extra_type(model))
        _check_type(extra.type, f"{where}.__pydantic_extra__")
        if is_sensitive(extra.metadata) or key_name(extra.metadata) is not None:
            raise ModelError(f"{where}.__pydantic_extra__: Sensitive() and KeyName() go on fields; see SecretStr")


def _check_key_name(name: object, at: str) -> None:
    try:
        fits = isinstance(name, str) and encode_segment(name) == name
    except PathError:
        fits = False
    if not fits:
        raise ModelError(
            f"{at}: KeyName({name!r}) is not the name of one key: it is empty, '.' or '..', begins with '@' or '_', or"
            " has a '/' or '%' in it"
        )


def _check_union(found: Bare, at: str) -> None:
    rule = merge_rule(found.metadata)
    if rule is None or rule.how != "union" or not isinstance(found.type, type) or found.type in (Any, object):
        return
    if not issubclass(found.type, Collection) or issubclass(found.type, str | bytes | bytearray):
        raise ModelError(f"{at}: Merge('union') is for sets, lists and tuples, and this is a {found.type.__name__}")


def _check_type(annotation: object, at: str) -> None:
    """What the type of a field may not have in it, models apart."""
    for part in mentioned(annotation, into_models=False):
        if isinstance(part, Merge):
            raise ModelError(f"{at}: Merge() says what becomes of a field as a whole, and can't stand within its type")
        if isinstance(part, Sensitive | KeyName):
            raise ModelError(
                f"{at}: {type(part).__name__}() marks a field as a whole, and can't stand within its type; put it"
                " around that, or use SecretStr or Secret[...] for the secret parts of it"
            )
        if get_origin(part) in _MAPS and holds_secret(get_args(part)[0]):
            raise ModelError(
                f"{at}: a secret can't be the key of a map, as every error and log shows the names of keys"
            )
