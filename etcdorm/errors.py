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
    │   └── NewerVersionError       newer code wrote it: .found  .known
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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from pydantic import BaseModel

E = TypeVar("E", bound=Exception)

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
        self.fields: tuple[str, ...] = tuple(fields)
        self.clashes: tuple[str, ...] = tuple(clashes)


@dataclass(frozen=True, slots=True)
class FieldFailure:
    """One thing in a record that does not fit: the etcd key, the field's path in the model, and what is wrong.

    ``text`` is what is stored there; None when there is nothing, no one key is to blame, or there is a secret in it.
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
    """A stored record does not fit its model; every failing key, field and text is in ``failures``.

    In a session with a namespace, ``path`` and the keys are those within it, and ``namespace`` is what stands before
    them in etcd; the message has it all.
    """

    def __init__(self, path: str, model: str, failures: Sequence[FieldFailure]) -> None:
        self.path = path
        self.model = model
        self.failures: tuple[FieldFailure, ...] = tuple(failures)
        self._namespace = ""
        super().__init__(self._text())

    def __reduce__(self) -> tuple[object, ...]:
        return _remade, (type(self), self.args, self.__dict__)

    @property
    def namespace(self) -> str:
        return self._namespace

    @namespace.setter
    def namespace(self, namespace: str) -> None:
        self._namespace = namespace
        super().__init__(self._text())  # which is what args and str are made of

    def _text(self) -> str:
        lines = [f"{self._namespace}{self.path} does not hold a valid {self.model}:"]
        lines += [f"  {self._namespace}{failure}" for failure in self.failures]
        return "\n".join(lines)


def _remade(kind: type[E], args: tuple[object, ...], attributes: Mapping[str, object]) -> E:
    """An error as it was before it was pickled or copied, without asking for what its class is made of."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


class NewerVersionError(DecodeError):
    """A record is of a newer version of its class than this code knows, so it is neither read nor changed.

    ``found`` is the version of the record, ``known`` that of the class here. Bring this program up to the newer code.
    """

    def __init__(self, path: str, model: str, failure: FieldFailure, *, found: int, known: int) -> None:
        self.found = found
        self.known = known
        super().__init__(path, model, [failure])

    def _text(self) -> str:
        return (
            f"{self._namespace}{self.path} holds version {self.found} of {self.model}, and this code knows "
            f"{self.model} up to version {self.known}, so it neither reads nor changes the record; bring this program "
            "up to the code that wrote it"
        )


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


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock: the fencing token, and the host, the process, and since when, by that host's clock.

    For the first half second after a long wait, ``since`` is when it began to wait. It is None, as is ``pid``, for what
    another tool has put into the queue.
    """

    token: int
    host: str = ""
    pid: int | None = None
    since: datetime | None = None

    def __str__(self) -> str:
        if self.pid is None or self.since is None:
            return f"another tool, with the token {self.token}"
        return f"process {self.pid} on {self.host or 'an unnamed host'}, since {self.since.isoformat(' ', 'seconds')}"


class LockTimeoutError(EtcdormError, TimeoutError):
    """A lock could not be had in the time that its caller would wait, and it has left nothing behind.

    ``holder`` tells who held it then; None when that could not be found out.
    """

    def __init__(self, message: str, *, holder: Holder | None = None) -> None:
        super().__init__(message)
        self.holder: Holder | None = holder


class ServerError(EtcdormError):
    """An etcd that was to be started on this machine did not start, or its binary can't be used."""
