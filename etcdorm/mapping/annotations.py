"""Reading type annotations: what a field's type comes down to, and every type that it mentions."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, is_dataclass
from typing import (
    Annotated,
    Any,
    Literal,
    NewType,
    Protocol,
    TypeGuard,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    runtime_checkable,
)

from pydantic import BaseModel

from etcdorm.errors import ModelError

_EXTRA = "__pydantic_extra__"


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


def mentioned(annotation: object, *, into_models: bool = True, excluded: bool = False) -> Iterator[object]:
    """The annotation and every type in it: in containers, unions, aliases, and the fields of models and dataclasses.

    What types are annotated with comes too. Fields that are ``excluded`` from a model's dump come when asked for.
    """
    seen: set[int] = set()
    waiting = [annotation]
    while waiting:
        current = waiting.pop()
        yield current
        for part in () if is_model(current) and not into_models else _parts(current, excluded):
            # Only classes and aliases can lead back to themselves, and only they live on, so that their ids count.
            if isinstance(part, type | _Alias):
                if id(part) in seen:
                    continue
                seen.add(id(part))
            waiting.append(part)


def extra_type(model: type[BaseModel]) -> object:
    """The type of a model's extra fields, if it allows any: what its ``__pydantic_extra__`` says, else Any.

    Raises: ModelError when that refers to a name that only a function knows.
    """
    for cls in _own_bases(model):
        try:
            annotation = inspect.get_annotations(cls).get(_EXTRA)
            if annotation is None:
                continue
            alone = type(cls.__name__, (), {"__annotations__": {_EXTRA: annotation}, "__module__": cls.__module__})
            found: Any = get_type_hints(alone, localns={cls.__name__: cls}, include_extras=True)[_EXTRA]
        except NameError as error:
            raise ModelError(
                f"{model.__name__}.{_EXTRA}: the name {error.name!r} is not known in its module; define it there"
            ) from None
        if parameters := getattr(found, "__parameters__", ()):
            arguments = _arguments(model, cls)
            found = found[tuple(arguments.get(parameter, parameter) for parameter in parameters)]
        return (get_args(bare(found).type) or (str, Any))[1]
    return Any


def _arguments(model: type[BaseModel], generic: type[BaseModel]) -> dict[object, object]:
    """What the parameters of a generic model stand for in a class of it."""
    for cls in _own_bases(model):
        if cls.__pydantic_generic_metadata__["origin"] is generic:
            parameters: tuple[object, ...] = generic.__pydantic_generic_metadata__["parameters"]
            return dict(zip(parameters, cls.__pydantic_generic_metadata__["args"], strict=False))
    return {}


def _own_bases(model: type[BaseModel]) -> list[type[BaseModel]]:
    """The class and its bases up to BaseModel, the mixins among them left out."""
    return [cls for cls in model.__mro__ if is_model(cls) and cls is not BaseModel]


def allows_extra(model: type[BaseModel]) -> bool:
    return model.model_config.get("extra") == "allow"


def is_model(annotation: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


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


def _parts(annotation: object, excluded: bool) -> Iterable[object]:
    origin = get_origin(annotation)
    if origin is Literal:
        return ()
    if alias := _alias(annotation):
        return (alias, _value(alias, annotation))
    if origin is not None:
        return (origin, *get_args(annotation))
    if isinstance(annotation, NewType):
        return (annotation.__supertype__,)
    return _members(annotation, excluded) if isinstance(annotation, type) else ()


def _members(cls: type, excluded: bool) -> Iterable[object]:
    if is_model(cls):
        fields = [field for field in cls.model_fields.values() if excluded or not field.exclude]
        extra = [extra_type(cls)] if allows_extra(cls) else []
        return [part for field in fields for part in (field.annotation, *field.metadata)] + extra
    # A TypedDict may be that of typing_extensions, and a NamedTuple has no base class to know it by.
    if is_dataclass(cls) or hasattr(cls, "__required_keys__") or (issubclass(cls, tuple) and hasattr(cls, "_fields")):
        try:
            return get_type_hints(cls, include_extras=True).values()
        except NameError:  # a name that only its function knows; what is behind it is checked when it is stored
            return ()
    return ()
