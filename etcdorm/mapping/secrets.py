"""Fields that are secret: what makes them so, what they hold when they are stored, and that they are never shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol, TypeGuard, get_args, get_origin, runtime_checkable

import pydantic_core
from pydantic import BaseModel, ConfigDict, JsonValue, Secret, SecretBytes, SecretStr
from pydantic.fields import FieldInfo

from etcdorm.mapping.annotations import bare, is_model, mentioned
from etcdorm.mapping.markers import Sensitive

SECRET: Final = (SecretStr, SecretBytes, Secret)
"""Pydantic's types of secrets, which dump asterisks."""


@runtime_checkable
class _Generic(Protocol):
    __orig_bases__: tuple[object, ...]


def is_sensitive(metadata: Iterable[object]) -> bool:
    return any(isinstance(item, Sensitive) for item in metadata)


def holds_secret(annotation: object, metadata: Iterable[object] = (), *, excluded: bool = False) -> bool:
    """Whether a value of this type may have a secret anywhere in it; in what is ``excluded`` from storing, if asked."""
    found = bare(annotation, metadata)
    return is_sensitive(found.metadata) or any(
        isinstance(part, Sensitive) or (isinstance(part, type) and issubclass(part, SECRET))
        for part in mentioned(found.type, excluded=excluded)
    )


def secret_type(annotation: object) -> object | None:
    """What a ``Secret[T]``, or a class of it, is a secret of; None for any other type."""
    if get_origin(annotation) is Secret:
        inner: object = get_args(annotation)[0]
        return inner
    if isinstance(annotation, type) and issubclass(annotation, Secret) and isinstance(annotation, _Generic):
        return next((found for base in annotation.__orig_bases__ if (found := secret_type(base)) is not None), None)
    return None


def hide(model: type[BaseModel]) -> None:
    """Leave out the sensitive fields of a model, and of the models in it, from their reprs.

    Of what is derived from them too, as far as there is any yet: a field takes an object of a class derived from its
    own.
    """
    seen: set[type[BaseModel]] = set()
    waiting = [model]
    while waiting:
        for part in mentioned(waiting.pop(), excluded=True):
            if is_model(part) and part not in seen:
                seen.add(part)
                waiting += part.__subclasses__()
                for field in part.model_fields.values():
                    if _is_sensitive_field(field):
                        field.repr = False  # as Pydantic's own Field(repr=False)


def hide_in_errors(model: type[BaseModel]) -> None:
    """Keep Pydantic's errors about a model that has secrets from quoting what it was to be made of."""
    if not model.__pydantic_complete__:
        model.model_config["hide_input_in_errors"] = True  # there may be secrets behind its forward references
    elif not model.model_config.get("hide_input_in_errors") and holds_secret(model, excluded=True):
        model.model_config["hide_input_in_errors"] = True
        model.model_rebuild(force=True)


def is_masked(value: object, dumped: JsonValue) -> TypeGuard[SecretStr | SecretBytes | Secret[object]]:
    """Whether a dump is the asterisks of a secret, and not what a serializer of the user's own made of it."""
    if not isinstance(value, SECRET):
        return False
    return dumped in (str(value), "**********" if value.get_secret_value() else "")


def unmasked(secret: object, config: ConfigDict) -> JsonValue:
    """A secret's value as JSON validation reads it, by the settings of the model that it lies in.

    Nothing tells its type here, so it is dumped by what it is.
    """
    value: JsonValue = pydantic_core.to_jsonable_python(
        secret,
        by_alias=False,
        round_trip=True,
        bytes_mode=config.get("ser_json_bytes", "utf8"),
        timedelta_mode=config.get("ser_json_timedelta", "iso8601"),
        inf_nan_mode="constants",
        fallback=str,
    )
    return value


def _is_sensitive_field(field: FieldInfo) -> bool:
    return is_sensitive(bare(field.annotation, field.metadata).metadata)
