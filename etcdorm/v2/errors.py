"""etcd v2's error codes as exceptions, under the names of python-aio-etcd, on the branches of ``etcdorm.errors``.

::

    EtcdException(EtcdormError)             .code  .message  .cause  .index  .payload
    ├── EtcdConnectionFailed
    │   ├── EtcdUnavailable                 UnavailableError: never sent, or only a read
    │   │   └── EtcdMisconfigured           TLS or DNS is set up so that no endpoint can be used; waiting won't help
    │   ├── EtcdUnconfirmed                 UnconfirmedError: a write without an answer (also etcd 300)
    │   └── EtcdWatchTimedOut               a bounded wait ended without an event
    ├── EtcdRefused                         RefusedError: the server said no
    │   ├── EtcdKeyError
    │   │   ├── EtcdKeyNotFound    100      NotFoundError
    │   │   ├── EtcdNotFile        102
    │   │   ├── EtcdNotDir         104
    │   │   ├── EtcdAlreadyExist   105      AlreadyExistsError
    │   │   └── EtcdRootReadOnly   107
    │   ├── EtcdValueError         200-2xx  a parameter that the server refused
    │   │   ├── EtcdCompareFailed  101
    │   │   └── EtcdDirNotEmpty    108
    │   ├── EtcdInsufficientPermissions 110
    │   ├── EtcdLeaderElectionInProgress 301
    │   ├── EtcdWatcherCleared     400
    │   └── EtcdEventIndexCleared  401      .index: where the history stands now
    ├── EtcdProtocolError                   an answer that is not of the v2 API at all
    ├── EtcdClusterIdChanged                UnconfirmedError: another cluster answered than the one expected
    ├── EtcdLockExpired                     LockLostError: a lock's TTL ran out while it was held
    └── StopWatching                        raised by the callback of a watch, to end it
"""

from __future__ import annotations

from collections.abc import Mapping

from etcdorm.errors import (
    AlreadyExistsError,
    EtcdormError,
    LockLostError,
    NotFoundError,
    RefusedError,
    UnavailableError,
    UnconfirmedError,
)


class EtcdException(EtcdormError):
    """The root of what the v2 client raises.

    ``code`` is etcd's errorCode (None when the server sent none), ``message`` and ``cause`` are its words, ``index``
    is the X-Etcd-Index that came with it (0 when there was none).
    """

    def __init__(
        self,
        text: str,
        *,
        code: int | None = None,
        message: str = "",
        cause: str = "",
        index: int = 0,
    ) -> None:
        super().__init__(text)
        self.code = code
        self.message: str = message or text
        self.cause = cause
        self.index = index

    @property
    def payload(self) -> Mapping[str, int | str | None]:
        """The error as the server wrote it."""
        return {"errorCode": self.code, "message": self.message, "cause": self.cause, "index": self.index}


class EtcdConnectionFailed(EtcdException):
    """No answer came from any endpoint."""


class EtcdUnavailable(EtcdConnectionFailed, UnavailableError):
    """No answer, and nothing was changed: no endpoint was reached, or the call only reads."""


class EtcdMisconfigured(EtcdUnavailable):
    """Nothing was sent, and nothing will be until something is mended: TLS fails with every endpoint (a certificate is
    not trusted, or refused, or there is no TLS), or the domain of ``srv_domain`` names no endpoint."""


class EtcdUnconfirmed(EtcdConnectionFailed, UnconfirmedError):
    """A write was sent and its answer was lost, or etcd gave up waiting for its majority (300). It may still land."""


class EtcdWatchTimedOut(EtcdConnectionFailed):
    """A wait with a timeout saw no event. ``index`` is where the store stood when the wait was registered."""

    def __init__(self, text: str, *, index: int = 0, raft_index: int = 0) -> None:
        super().__init__(text, index=index)
        self.raft_index = raft_index


class EtcdRefused(EtcdException, RefusedError):
    """The server understood the request and said no; nothing was changed."""


class EtcdKeyError(EtcdRefused):
    """The key is not of the kind that the request needs."""


class EtcdKeyNotFound(EtcdKeyError, NotFoundError):
    """100: the key, or a directory above it, does not exist."""


class EtcdNotFile(EtcdKeyError):
    """102: the key is a directory."""


class EtcdNotDir(EtcdKeyError):
    """104: something above the key is not a directory."""


class EtcdAlreadyExist(EtcdKeyError, AlreadyExistsError):
    """105: prevExist=False, and the key exists."""


class EtcdRootReadOnly(EtcdKeyError):
    """107: the root can't be written."""


class EtcdValueError(EtcdRefused, ValueError):
    """A parameter that the server refused (200 and above), or a comparison that failed."""


class EtcdCompareFailed(EtcdValueError):
    """101: prevValue or prevIndex is not what the key has. The cause may hold values; it stays out of the text."""


class EtcdDirNotEmpty(EtcdValueError):
    """108: a directory with something in it (hidden keys count) is only deleted with recursive=True."""


class EtcdInsufficientPermissions(EtcdRefused):
    """110: no credentials, wrong ones, or ones without the right to this key; etcd does not say which."""


class EtcdLeaderElectionInProgress(EtcdRefused):
    """301: the cluster has no leader yet."""


class EtcdWatcherCleared(EtcdRefused):
    """400: the server dropped the watcher."""


class EtcdEventIndexCleared(EtcdRefused):
    """401: waitIndex lies before the last 1000 events of the store. ``index`` is where the store stands now."""


class EtcdProtocolError(EtcdException, RefusedError):
    """Something answered that does not speak etcd's v2 API: v2 is switched off, or it isn't etcd."""


class EtcdClusterIdChanged(EtcdException, UnconfirmedError):
    """An answer came from another cluster than ``expected_cluster_id``; a write may have happened in that one."""


class EtcdLockExpired(EtcdException, LockLostError):
    """A lock's TTL ran out while it was held."""


class StopWatching(EtcdException):
    """To be raised by the callback of ``EternalWatch.call``, which ends then. The event counts as handled."""

    def __init__(self, text: str = "the watch is to end") -> None:
        super().__init__(text)


_BY_CODE: Mapping[int, type[EtcdException]] = {
    100: EtcdKeyNotFound,
    101: EtcdCompareFailed,
    102: EtcdNotFile,
    104: EtcdNotDir,
    105: EtcdAlreadyExist,
    107: EtcdRootReadOnly,
    108: EtcdDirNotEmpty,
    110: EtcdInsufficientPermissions,
    300: EtcdUnconfirmed,
    301: EtcdLeaderElectionInProgress,
    400: EtcdWatcherCleared,
    401: EtcdEventIndexCleared,
}

_HINTS: Mapping[int, str] = {
    100: "in brackets is the first part of its path that is missing",
    101: "the key was written since it was read: read it again, and decide anew",
    102: "the key is a directory, which holds no value; delete takes one with dir=True or recursive=True",
    104: "something above the key holds a value, so nothing can lie below it",
    105: "without prevExist=False the write would replace it",
    107: "the root is always a directory; name a key below it",
    108: "something lies in it, hidden keys count too; delete takes all of it with recursive=True",
    110: "no credentials, wrong ones, or no right to this key; etcd does not say which: look at the user and its roles",
    301: "ask again in a second",
    400: "watch again from the same index",
    401: "read the keys anew, and watch from the index of that answer + 1",
}

_UPDATE_OF_DIRECTORY = "the key is a directory, and etcd 3.5 updates none and puts off no directory's TTL"
_NO_MAJORITY = "the member finds no majority for it"
_MAY_STILL_HAPPEN = f"{_NO_MAJORITY}; it may have happened, or may still happen: read with quorum before trying again"


def from_answer(request: object, *, code: int, message: str, cause: str, index: int, writes: bool) -> EtcdException:
    """The exception for an error that etcd answered; ``request`` says what was asked of which endpoint."""
    kind = _BY_CODE.get(code, EtcdValueError if 200 <= code < 300 else EtcdRefused)
    hint = _HINTS.get(code)
    if code == 300:
        # A raft time-out can commit later. "Not a file" is no time-out: etcd 3.5 refuses updates of directories so.
        if "Not a file" in cause:
            kind, hint = EtcdNotFile, _UPDATE_OF_DIRECTORY
        elif writes:
            hint = _MAY_STILL_HAPPEN
        else:
            kind, hint = EtcdUnavailable, _NO_MAJORITY
    text = f"{request}: {message}"
    if code != 101 and cause:
        text += f" ({cause})"
    text += f" [etcd {code}]"
    if hint is not None:
        text += f"; {hint}"
    return kind(text, code=code, message=message, cause=cause, index=index)
