"""Calling the hooks of a model class."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar

from etcdorm.errors import HookError, UsageError
from etcdorm.mapping import EtcdModel, Schema, schema_of
from etcdorm.mapping.hooks import hook_name
from etcdorm.path import Path

M = TypeVar("M", bound=EtcdModel)


async def before_save(model: EtcdModel) -> None:
    """Raises what a hook raises."""
    await _all(model, schema_of(type(model)).hooks.before_save, "before_save", "nothing was written")


async def after_save(model: EtcdModel, where: str) -> None:
    """``where`` is the record's path in etcd. Raises: HookError."""
    await _each(model, schema_of(type(model)).hooks.after_save, "after_save", f"{where} was saved")


async def before_load(schema: Schema[M], path: Path, *, namespace: str) -> None:
    """``path`` is what the hook is told, within a namespace. Raises what a hook raises."""
    for name in schema.hooks.before_load:
        await _call(schema.model, name, "before_load", f"{namespace}{path} was not read", str(path))


async def after_load(model: M) -> M:
    """The same object. Raises what a hook raises."""
    names = schema_of(type(model)).hooks.after_load
    if names:
        await _all(model, names, "after_load", f"on loading {model.etcd.record.where if model.etcd else 'it'}")
    return model


async def before_delete(model: EtcdModel) -> None:
    """Raises what a hook raises."""
    await _all(model, schema_of(type(model)).hooks.before_delete, "before_delete", "nothing was deleted")


async def after_delete(model: EtcdModel, where: str) -> None:
    """``where`` is the path in etcd that the record had. Raises: HookError."""
    await _each(model, schema_of(type(model)).hooks.after_delete, "after_delete", f"{where} was deleted")


async def _all(model: EtcdModel, names: tuple[str, ...], kind: str, outcome: str) -> None:
    """Call one after the other, up to the first that fails."""
    for name in names:
        await _call(model, name, kind, outcome)


async def _each(model: EtcdModel, names: tuple[str, ...], kind: str, outcome: str) -> None:
    """Call all of them, whichever fail, as what they are told of has happened."""
    errors: list[tuple[str, Exception]] = []
    for name in names:
        try:
            await _call(model, name, kind, outcome)
        except Exception as error:
            errors.append((name, error))
    if errors:
        failed = ", ".join(f"{type(model).__name__}.{name} ({type(error).__name__})" for name, error in errors)
        cause = errors[0][1] if len(errors) == 1 else ExceptionGroup(f"{kind} hooks", [error for _, error in errors])
        raise HookError(f"{outcome}, and then its {kind} hook failed: {failed}") from cause


async def _call(owner: EtcdModel | type[EtcdModel], name: str, kind: str, outcome: str, *arguments: str) -> None:
    cls = owner if isinstance(owner, type) else type(owner)
    try:
        hook: Callable[..., Awaitable[object] | object] = getattr(owner, name)
        returned = hook(*arguments)
        if inspect.isawaitable(returned):
            returned = await returned
        if returned is not None:
            raise UsageError(
                f"{cls.__name__}.{name} returned a {type(returned).__name__}; a hook must return None, and changes the "
                "object that it is called on"
            )
    except Exception as error:
        error.add_note(f"from {cls.__name__}.{name}, {hook_name(kind)}: {outcome}")
        raise
