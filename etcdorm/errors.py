"""Every public error, in one tree that is cut by what the caller may do next.

::

    EtcdormError
    ├── UnavailableError        nothing was changed: never sent, or only a read; send it again
    ├── UnconfirmedError        sent, and no answer came; it may have happened: look first
    ├── RefusedError            the store said no; nothing was changed
    │   ├── NotFoundError
    │   │   └── LeaseLapsedError    it was there, and its TTL ran out
    │   ├── AlreadyExistsError
    │   └── ConflictError           .base  .mine  .theirs  .fields  .clashes
    ├── DecodeError             what is stored does not fit the model: .failures names each key, field and text
    ├── UsageError              the call can't be right; nothing was sent
    │   ├── PathError               a text that can't be an etcd path
    │   ├── ModelError              a model class that can't be mapped
    │   └── EncodeError             a value that can't be stored
    ├── HookError               the write happened, and then a hook behind it failed
    ├── FellBehindError         a feed's consumer was too slow, and was to be told so by an error
    ├── LockLostError           the lock was not kept until the end of its block
    ├── LockTimeoutError        the lock was not free in time (a TimeoutError)
    └── ServerError             an etcd that was to be started here did not start

The names of the v2 client (``EtcdException``, ``EtcdKeyNotFound``, ...) hang on the same branches; see
``etcdorm.v2.errors``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import BaseModel


_SHOWN = 60
"""Characters of a stored text that an error shows."""


class EtcdormError(Exception):
    """The root of everything that etcdorm raises on purpose."""


class UnavailableError(EtcdormError):
    """No etcd answered in time, and nothing was changed by this call; it can be made again as it is."""


class UnconfirmedError(EtcdormError):
    """A change was sent and its answer was lost; it may have happened, or may yet happen. Look before trying again."""


class RefusedError(EtcdormError):
    """etcd answered, and said no. Nothing was changed."""


class NotFoundError(RefusedError):
    """There is no such record (any more)."""


class LeaseLapsedError(NotFoundError):
    """The record was there, but its TTL ran out before this call could keep it. Save it as a new one."""


class AlreadyExistsError(RefusedError):
    """A new object was saved where a record exists already."""


class ConflictError(RefusedError):
    """Another save came between loading and saving.

    ``base`` is the model as it was loaded, ``mine`` the one that was to be saved, ``theirs`` what etcd holds now
    (``base`` and ``theirs`` are None when that can't be decoded). ``fields`` names what the other save has changed
    (``port``, ``labels.env``), and ``clashes`` those of them that this one changes too, to something else. Nothing was
    written: reload and try again, save with ``on_conflict="merge"``, or use ``Session.update``.
    """

    def __init__(
        self,
        message: str,
        *,
        base: BaseModel | None = None,
        mine: BaseModel | None = None,
        theirs: BaseModel | None = None,
        fields: Sequence[str] = (),
        clashes: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.base = base
        self.mine = mine
        self.theirs = theirs
        self.fields = tuple(fields)
        self.clashes = tuple(clashes)


@dataclass(frozen=True, slots=True)
class FieldFailure:
    """One thing in a record that does not fit: the etcd key, the field's path in the model, and what is wrong.

    ``text`` is what is stored there; None when there is nothing, or no one key is to blame.
    """

    key: str
    field: str
    problem: str
    text: str | None = None

    def __str__(self) -> str:
        said = f"{self.key} (field {self.field}): {self.problem}"
        if self.text is None:
            return said
        short = self.text if len(self.text) <= _SHOWN else f"{self.text[:_SHOWN]}..."
        return f"{said}; it holds {short!r}"


class DecodeError(EtcdormError):
    """A stored record does not fit its model; every failing key, field and text is in ``failures``."""

    def __init__(self, path: str, model: str, failures: Sequence[FieldFailure]) -> None:
        self.path = path
        self.model = model
        self.failures = tuple(failures)
        lines = [f"{path} does not hold a valid {model}:"]
        lines += [f"  {failure}" for failure in self.failures]
        super().__init__("\n".join(lines))


class UsageError(EtcdormError, ValueError):
    """The call can't be right as it stands; nothing was sent."""


class PathError(UsageError):
    """A text that can't be an etcd path, or a key that can't be part of one."""


class ModelError(UsageError, TypeError):
    """A model class can't be mapped as it is declared; raised when the class is made or first used."""


class EncodeError(UsageError):
    """A value can't be stored; the message names the field, never the value."""


class HookError(EtcdormError):
    """A record was saved or deleted, and then a hook of its class failed: ``__cause__`` is the hook's own error.

    The write has happened, and its object knows; don't make it again. Several errors are an ExceptionGroup.
    """


class FellBehindError(EtcdormError):
    """The consumer of a feed was too slow, and changes are missing behind those that it was told; watch anew."""


class LockLostError(EtcdormError):
    """A lock could not be kept until the end of its block; what the block did after that was not protected."""


class LockTimeoutError(EtcdormError, TimeoutError):
    """A lock could not be had in the time that its caller would wait; nobody waits for this caller any more."""


class ServerError(EtcdormError):
    """An etcd that was to be started on this machine did not start, or its binary can't be used."""
