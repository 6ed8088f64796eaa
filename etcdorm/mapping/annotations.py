"""Reading type annotations: what a field's type comes down to, and every type that it mentions."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, is_dataclass
from typing import Annotated, Literal, NewType, Union, get_args, get_origin, get_type_hints, is_typeddict

from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class Bare:
    """A type without ``Annotated``, ``NewType``, aliases and ``| None`` around it, and the metadata found on the way."""

    type: object
    metadata: tuple[object, ...]

    @property
    def origin(self) -> object:
        """``dict`` for ``dict[str, int]``; the type itself when it has no parameters."""
        return get_origin(self.type) or self.type


def bare(annotation: object, metadata: Iterable[object] = ()) -> Bare:
    """Unwrap an annotation; an alias that refers to itself is left alone."""
    found = tuple(metadata)
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            found = (*more, *found)
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif is_alias(annotation) and not any(part is annotation for part in mentioned(alias_value(annotation))):
            annotation = alias_value(annotation)
        elif is_union(annotation) and len(some := without_none(annotation)) == 1:
            annotation = some[0]
        else:
            return Bare(annotation, found)


def mentioned(annotation: object) -> Iterator[object]:
    """The annotation and every type in it: in containers, unions, aliases, and the fields of models and dataclasses."""
    seen: set[int] = set()
    waiting = [annotation]
    while waiting:
        current = waiting.pop()
        yield current
        for part in _parts(current):
            # Only classes and aliases can lead back to themselves, and only they live long enough for their id to count.
            if isinstance(part, type) or is_alias(part):
                if id(part) in seen:
                    continue
                seen.add(id(part))
            waiting.append(part)


def is_union(annotation: object) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def without_none(union: object) -> list[object]:
    return [member for member in get_args(union) if member is not types.NoneType]


def is_alias(annotation: object) -> bool:
    """Whether this is a ``type`` alias (``TypeAliasType``, of typing or typing_extensions), with or without arguments."""
    return hasattr(get_origin(annotation) or annotation, "__value__")


def alias_value(annotation: object) -> object:
    """What a ``type`` alias stands for, its arguments put in."""
    alias = get_origin(annotation) or annotation
    value: object = getattr(alias, "__value__")
    open_parameters = getattr(value, "__parameters__", ())
    if not get_args(annotation) or not open_parameters:
        return value
    arguments = dict(zip(getattr(alias, "__type_params__"), get_args(annotation), strict=True))
    filled: object = value[tuple(arguments[parameter] for parameter in open_parameters)]  # type: ignore[index]  # generic
    return filled


def _parts(annotation: object) -> Iterable[object]:
    origin = get_origin(annotation)
    if origin is Literal:
        return ()
    if is_alias(annotation):
        return (alias_value(annotation),)
    if origin is not None:
        return (origin, *get_args(annotation))
    if isinstance(annotation, NewType):
        return (annotation.__supertype__,)
    return _members(annotation) if isinstance(annotation, type) else ()


def _members(cls: type) -> Iterable[object]:
    if issubclass(cls, BaseModel):
        return [field.annotation for field in cls.model_fields.values()]
    if is_dataclass(cls) or is_typeddict(cls) or (issubclass(cls, tuple) and hasattr(cls, "_fields")):
        try:
            return get_type_hints(cls, include_extras=True).values()
        except NameError:  # a name that only its function knows; whatever is behind it is checked when it is stored
            return ()
    return ()
