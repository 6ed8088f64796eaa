"""Fields that a running process does not take over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import BaseModel

from etcdorm.mapping.annotations import bare
from etcdorm.mapping.values import same

B = TypeVar("B", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class NeedsRestart:
    """A marker for a field whose change takes effect only when the process starts anew.

    ``listen: Annotated[str, NeedsRestart()]``: live settings keep the value they began with, and report the new one.
    """


@dataclass(frozen=True, slots=True)
class Waiting:
    """A changed field that waits for a restart: its name, as ``db.host``, and what it has and will have."""

    name: str
    now: object = field(repr=False)
    then: object = field(repr=False)


def hold(running: B, new: B) -> tuple[B, tuple[Waiting, ...]]:
    """The new settings with what needs a restart as it is in the running ones, and what waits for that."""
    waiting: list[Waiting] = []
    return _hold(running, new, "", waiting), tuple(waiting)


def _hold(running: B, new: B, at: str, waiting: list[Waiting]) -> B:
    kept: dict[str, object] = {}
    for name, info in type(new).model_fields.items():
        now, then = getattr(running, name), getattr(new, name)
        if same(now, then):
            continue
        if any(isinstance(item, NeedsRestart) for item in bare(info.annotation, info.metadata).metadata):
            waiting.append(Waiting(f"{at}{name}", now, then))
            kept[name] = now
        elif isinstance(now, BaseModel) and isinstance(then, BaseModel) and type(now) is type(then):
            kept[name] = _hold(now, then, f"{at}{name}.", waiting)
    return new.model_copy(update=kept) if kept else new
