"""Markers for ``Annotated``, which say how one field lies in etcd, and what two edits of it come to."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from etcdorm.errors import ModelError

Policy = Literal["mine", "theirs", "max", "min", "union"]

_NO_UNION: Final = (str, bytes, bytearray)


@dataclass(frozen=True, slots=True)
class AsJson:
    """Keep this field as JSON in one key, where its type would be a directory (or plain text) otherwise.

    ``limits: Annotated[Limits, AsJson()]`` is read and written as a whole: ``{"cpu":2,"memory":512}``.
    """


@dataclass(frozen=True, slots=True)
class KeyName:
    """Keep this field under a key of this name, in either layout, instead of the field's own.

    ``host: Annotated[str, KeyName("host-name")]`` lies at ``/nodes/n1/host-name``, or as that member of a document.
    """

    name: str


@dataclass(frozen=True, slots=True)
class Sensitive:
    """Keep what this field holds out of every repr, log and error. It is stored as it would be without.

    ``token: Annotated[str, Sensitive()]``; a field of any type, of the model or of one within it. The keys of a map do
    show. Pydantic's ``SecretStr``, ``SecretBytes`` and ``Secret[T]`` are secret by themselves.
    """


@dataclass(frozen=True, slots=True)
class Merge:
    """What becomes of this field when two have edited it, and one of them saves with ``on_conflict="merge"``.

    ``mine`` is the edit of who saves, ``theirs`` the one that etcd holds; ``max`` and ``min`` take the greater and the
    smaller of the two. ``union``, for sets, lists and tuples, keeps what either has added, and leaves out what either
    has taken away. A function is given the base, mine and theirs, and returns the value. An edit of one side alone is
    taken as it is.
    """

    # Any: a function of the user's own for a value of any type.
    how: Policy | Callable[[Any, Any, Any], object]

    def __post_init__(self) -> None:
        if not callable(self.how) and self.how not in get_args(Policy):
            raise ModelError(f"Merge({self.how!r}): how must be one of {get_args(Policy)}, or a function")
        if callable(self.how):
            try:
                inspect.signature(self.how).bind(None, None, None)
            except TypeError as error:
                raise ModelError(f"Merge: the function is called with base, mine and theirs: {error}") from None
            except ValueError:
                pass  # one of those, written in C, that don't tell

    def resolve(self, base: object, mine: object, theirs: object) -> object:
        """The one value of two edits. Raises: TypeError for values that can't be compared, and what a function does."""
        if callable(self.how):
            return self.how(base, mine, theirs)
        if self.how == "union":
            return _union(base, mine, theirs)
        if self.how in ("max", "min"):
            return _extreme(self.how, mine, theirs)
        return mine if self.how == "mine" else theirs


def key_name(metadata: Iterable[object]) -> str | None:
    """The name that a field's markers give its key; the outermost counts."""
    names = [item.name for item in metadata if isinstance(item, KeyName)]
    return names[-1] if names else None


def merge_rule(metadata: Iterable[object]) -> Merge | None:
    """What a field's markers say of two edits."""
    return next((item for item in metadata if isinstance(item, Merge)), None)


def _extreme(how: Literal["max", "min"], mine: Any, theirs: Any) -> object:  # Any: whatever can be compared
    if mine is None or theirs is None:
        return theirs if mine is None else mine
    return max(mine, theirs) if how == "max" else min(mine, theirs)


def _union(base: object, mine: object, theirs: object) -> object:
    if mine is None or theirs is None:
        return theirs if mine is None else mine
    if not isinstance(mine, Collection) or not isinstance(theirs, Collection) or isinstance(mine, _NO_UNION):
        raise TypeError(f"a {type(mine).__name__} is no collection that a union could be made of")
    before = base if isinstance(base, Collection) else ()
    kept = [item for item in mine if item in theirs or item not in before]
    added = [item for item in theirs if item not in before and item not in kept]
    make: Callable[[list[object]], object] = type(mine)
    return make([*kept, *added])
