"""Reading type annotations: what a field's type comes down to, and every type that it mentions."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, is_dataclass
from typing import (
    Annotated,
    Literal,
    NewType,
    Protocol,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    runtime_checkable,
)

from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class Bare:
    """A type without the ``Annotated``, ``NewType``, aliases and ``| None`` around it, and the metadata on the way."""

    type: object
    metadata: tuple[object, ...]

    @property
    def origin(self) -> object:
        """``dict`` for ``dict[str, int]``; the type itself when it has no parameters."""
        return get_origin(self.type) or self.type


class _Subscriptable(Protocol):
    def __getitem__(self, arguments: tuple[object, ...], /) -> object: ...


@runtime_checkable
class _Alias(Protocol):
    """The ``TypeAliasType`` of typing, and that of typing_extensions, which is another class on some Pythons."""

    __value__: _Subscriptable
    __type_params__: tuple[object, ...]


def bare(annotation: object, metadata: Iterable[object] = ()) -> Bare:
    """Unwrap an annotation; an alias that refers to itself is left as it is."""
    found = tuple(metadata)
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            found = (*more, *found)
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif (alias := _alias(annotation)) and alias not in mentioned(value := _value(alias, annotation)):
            annotation = value
        elif is_union(annotation) and len(some := without_none(annotation)) == 1:
            annotation = some[0]
        else:
            return Bare(annotation, found)


def mentioned(annotation: object) -> Iterator[object]:
    """The annotation and every type in it: in containers, unions, aliases, and the fields of models and dataclasses.

    Fields that are excluded from a model's dump are left out.
    """
    seen: set[int] = set()
    waiting = [annotation]
    while waiting:
        current = waiting.pop()
        yield current
        for part in _parts(current):
            # Only classes and aliases can lead back to themselves, and only they live on, so that their ids count.
            if isinstance(part, type | _Alias):
                if id(part) in seen:
                    continue
                seen.add(id(part))
            waiting.append(part)


def is_union(annotation: object) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def without_none(union: object) -> list[object]:
    return [member for member in get_args(union) if member is not types.NoneType]


def _alias(annotation: object) -> _Alias | None:
    """The ``type`` alias that this is, with or without arguments."""
    candidate = get_origin(annotation) or annotation
    return candidate if isinstance(candidate, _Alias) else None


def _value(alias: _Alias, annotation: object) -> object:
    """What an alias stands for, its arguments put in."""
    parameters: tuple[object, ...] = getattr(alias.__value__, "__parameters__", ())
    if not (parameters and get_args(annotation)):
        return alias.__value__
    arguments = dict(zip(alias.__type_params__, get_args(annotation), strict=True))
    return alias.__value__[tuple(arguments[parameter] for parameter in parameters)]


def _parts(annotation: object) -> Iterable[object]:
    origin = get_origin(annotation)
    if origin is Literal:
        return ()
    if alias := _alias(annotation):
        return (alias, _value(alias, annotation))
    if origin is not None:
        return (origin, *get_args(annotation))
    if isinstance(annotation, NewType):
        return (annotation.__supertype__,)
    return _members(annotation) if isinstance(annotation, type) else ()


def _members(cls: type) -> Iterable[object]:
    if issubclass(cls, BaseModel):
        return [field.annotation for field in cls.model_fields.values() if not field.exclude]
    # A TypedDict may be that of typing_extensions, and a NamedTuple has no base class to know it by.
    if is_dataclass(cls) or hasattr(cls, "__required_keys__") or (issubclass(cls, tuple) and hasattr(cls, "_fields")):
        try:
            return get_type_hints(cls, include_extras=True).values()
        except NameError:  # a name that only its function knows; what is behind it is checked when it is stored
            return ()
    return ()
