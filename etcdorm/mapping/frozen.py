"""Objects that many see at once: nothing in them can be changed, while copies of them can.

What is frozen is an object, not its class: the fields of models, those within included, and dicts, lists and sets.
Dataclasses and other mutable values are left as they are.
"""

from __future__ import annotations

import copy
from typing import Final, NoReturn, SupportsIndex, TypeVar
from weakref import WeakKeyDictionary

from pydantic import BaseModel

from etcdorm.errors import UsageError

M = TypeVar("M", bound=BaseModel)
K = TypeVar("K")
V = TypeVar("V")

# Where Pydantic looks up how an attribute is set: a dict of the class, unless the object has one of its own.
_HANDLERS: Final = "__pydantic_setattr_handlers__"

_WHY: Final = (
    "it is shared with all who look at it, so it can't be changed; change what is in etcd with session.update, or a "
    "copy: value.model_copy(deep=True)"
)


class _Refusing(dict[str, object]):
    """Stands in for Pydantic's handlers: only private attributes can be set."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def get(self, name: str, default: object = None) -> object:
        return default if name.startswith("_") else self._refuse

    def _refuse(self, model: BaseModel, name: str, value: object) -> NoReturn:
        raise UsageError(f"{self._name}.{name}: this {self._name} is a value of session.live or session.table; {_WHY}")

    def __deepcopy__(self, memo: dict[int, object]) -> dict[str, object]:
        return {}  # a deep copy may be changed

    def __reduce__(self) -> tuple[type[dict[str, object]], tuple[()]]:
        return dict, ()


def freeze(model: M) -> M:
    """The same object, which can't be changed any more."""
    values = model.__dict__
    for name, value in values.items():
        if (frozen := _frozen(value)) is not value:
            values[name] = frozen
    if model.__pydantic_extra__:
        object.__setattr__(model, "__pydantic_extra__", _frozen(model.__pydantic_extra__))
    values[_HANDLERS] = _refusing(type(model))
    return model


def is_frozen(model: BaseModel) -> bool:
    """Whether this object was frozen; not whether its class is."""
    return isinstance(model.__dict__.get(_HANDLERS), _Refusing)


def thaw(model: BaseModel) -> None:
    """Let a copy of a frozen object be changed; what is in it stays frozen, if it is still that of the other."""
    model.__dict__.pop(_HANDLERS, None)


def check_free(model: BaseModel, done: str) -> None:
    """Raise UsageError for a frozen object; ``done`` is what would change it."""
    if is_frozen(model):
        name = type(model).__name__
        raise UsageError(f"this {name} is a value of session.live or session.table, so it can't be {done}: {_WHY}")


_by_class: WeakKeyDictionary[type[BaseModel], _Refusing] = WeakKeyDictionary()


def _refusing(model: type[BaseModel]) -> _Refusing:
    found = _by_class.get(model)
    if found is None:
        found = _by_class[model] = _Refusing(model.__name__)
    return found


def _frozen(value: object) -> object:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, BaseModel):
        return freeze(value)
    if kind is dict and isinstance(value, dict):
        return FrozenDict({key: _frozen(item) for key, item in value.items()})
    if kind is list and isinstance(value, list):
        return FrozenList(map(_frozen, value))
    if kind is set and isinstance(value, set):
        return FrozenSet(value)
    if kind is tuple and isinstance(value, tuple):
        items = tuple(map(_frozen, value))
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    return value


_PLAIN: Final = frozenset((str, int, float, bool, type(None), bytes))
"""Types with nothing in them to freeze: most values there are."""


def _refuse(kind: type) -> NoReturn:
    raise UsageError(f"this {kind.__name__} belongs to a value of session.live or session.table; {_WHY}")


class FrozenDict(dict[K, V]):
    """A dict that can't be changed; copies of it are dicts."""

    __slots__ = ()

    def _refuse(self, *arguments: object, **named: object) -> NoReturn:
        _refuse(dict)

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __copy__(self) -> dict[K, V]:
        return dict(self)

    copy = __copy__

    def __deepcopy__(self, memo: dict[int, object]) -> dict[K, V]:
        return copy.deepcopy(dict(self), memo)

    def __reduce__(self) -> tuple[type[dict[K, V]], tuple[dict[K, V]]]:
        return dict, (dict(self),)


class FrozenList(list[V]):
    """A list that can't be changed; copies of it are lists."""

    __slots__ = ()

    def _refuse(self, *arguments: object, **named: object) -> NoReturn:
        _refuse(list)

    __setitem__ = __delitem__ = __iadd__ = __imul__ = append = clear = extend = insert = pop = remove = reverse = (
        sort
    ) = _refuse

    def __copy__(self) -> list[V]:
        return list(self)

    copy = __copy__

    def __deepcopy__(self, memo: dict[int, object]) -> list[V]:
        return copy.deepcopy(list(self), memo)

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[type[list[V]], tuple[list[V]]]:
        return list, (list(self),)


class FrozenSet(set[V]):
    """A set that can't be changed, and is of the type that its field says; copies of it are sets."""

    __slots__ = ()

    def _refuse(self, *arguments: object, **named: object) -> NoReturn:
        _refuse(set)

    __iand__ = __ior__ = __isub__ = __ixor__ = add = clear = difference_update = discard = intersection_update = pop = (
        _refuse
    )
    remove = symmetric_difference_update = update = _refuse

    def __repr__(self) -> str:
        return repr(set(self))

    def __copy__(self) -> set[V]:
        return set(self)

    copy = __copy__

    def __deepcopy__(self, memo: dict[int, object]) -> set[V]:
        return copy.deepcopy(set(self), memo)

    def __reduce__(self) -> tuple[type[set[V]], tuple[set[V]]]:
        return set, (set(self),)
