"""Methods of a model class that a session calls around saving, loading and deleting: how they are declared."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from typing import Any, Final, TypeAlias, TypeVar

from etcdorm.errors import ModelError

_KINDS: Final = "__etcd_hooks__"
"""The attribute of a function with the kinds of hook that it is."""

_Outcome: TypeAlias = Awaitable[None] | None
# Any: the class that a method belongs to, which no decorator knows
_Method = TypeVar("_Method", bound=Callable[[Any], _Outcome])
# Above @classmethod, mypy sees the function still, and pyright the classmethod
_ClassMethod = TypeVar("_ClassMethod", bound="Callable[[Any, str], _Outcome] | classmethod[Any, [str], _Outcome]")


def before_save(method: _Method) -> _Method:
    """Call this method before the object is saved or appended; it may change the object.

    An error in it stops the write, and is raised as it is. It is called for each state that is to be written: again for
    what ``on_conflict="merge"`` puts together, on another object then, and in each round of ``Session.update``.
    """
    _mark(method, "before_save")
    return method


def after_save(method: _Method) -> _Method:
    """Call this method when the object was saved or appended: not for a save that had nothing to write.

    An error in it is raised as HookError: the write has happened.
    """
    _mark(method, "after_save")
    return method


def before_load(method: _ClassMethod) -> _ClassMethod:
    """Call this class method with the path of what is to be read: of a record, or of the directory of many.

    Once for each call of ``load``, ``get``, ``reload``, ``list``, ``records``, ``tail``, ``watch``, ``live`` and
    ``table``, and in each round of ``update``. An error in it stops the reading, and is raised as it is.
    """
    _mark(method, "before_load")
    return method


def after_load(method: _Method) -> _Method:
    """Call this method on each object that a session makes of a record, before anybody else sees it.

    An error in it is raised as it is. The models that a ConflictError carries are made without it.
    """
    _mark(method, "after_load")
    return method


def before_delete(method: _Method) -> _Method:
    """Call this method before the object's record is deleted.

    An error in it stops the write, and is raised as it is.
    """
    _mark(method, "before_delete")
    return method


def after_delete(method: _Method) -> _Method:
    """Call this method when the object's record was deleted. An error in it is raised as HookError."""
    _mark(method, "after_delete")
    return method


@dataclass(frozen=True, slots=True)
class Hooks:
    """The names of a class's hooks by kind: those of its bases first, then in the order of declaration."""

    before_save: tuple[str, ...] = ()
    after_save: tuple[str, ...] = ()
    before_load: tuple[str, ...] = ()
    after_load: tuple[str, ...] = ()
    before_delete: tuple[str, ...] = ()
    after_delete: tuple[str, ...] = ()

    @classmethod
    def of(cls, model: type) -> Hooks:
        """The hooks of a class and its bases. A method that overrides a hook is one as well.

        Raises: ModelError for what can't be called as its hook is.
        """
        found: dict[str, dict[str, None]] = {field.name: {} for field in fields(cls)}
        for base in reversed(model.__mro__):
            for name, value in vars(base).items():
                for kind in _kinds_of(value):
                    found[kind][name] = None
        for kind, names in found.items():
            for name in names:
                _check(model, name, kind)
        return cls(**{kind: tuple(names) for kind, names in found.items()})


def _mark(method: object, kind: str) -> None:
    function = method.__func__ if isinstance(method, classmethod) else method
    if not inspect.isfunction(function):
        raise ModelError(f"{kind} goes on a method, not on a {type(method).__name__}")
    setattr(function, _KINDS, (*_kinds_of(function), kind))


def _kinds_of(value: object) -> tuple[str, ...]:
    function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
    kinds: object = getattr(function, _KINDS, ()) if inspect.isfunction(function) else ()
    return kinds if isinstance(kinds, tuple) else ()


def _check(model: type, name: str, kind: str) -> None:
    static = inspect.getattr_static(model, name)
    where = f"{model.__name__}.{name}: {hook_name(kind)}"
    by_class = kind == "before_load"
    needed = "a class method that takes a path" if by_class else "a method that takes nothing but self"
    if not (isinstance(static, classmethod) if by_class else inspect.isfunction(static)):
        raise ModelError(f"{where} is {needed}")
    try:
        inspect.signature(getattr(model, name)).bind("")  # the path; or, of what is still a function here, self
    except TypeError as error:
        raise ModelError(f"{where} is {needed}: {error}") from None


def hook_name(kind: str) -> str:
    """The kind of a hook with its article."""
    return f"{'an' if kind.startswith('after') else 'a'} {kind} hook"
