"""What became of a write whose answer was lost: read back, as far as reading can tell for certain.

A write with ``prevIndex`` can be settled, because a modifiedIndex never comes back. As long as the key is at that
index, the same request may be sent again: at most one of the two can land. Once the key has moved on, nothing of it can
land any more, and the event that moved it on (the first one after that index) is either another's, or just what this
write would have made. The last case is the one that reading can't tell apart from another client's write of the same
value to the same index (two counters, both from 5 to 6), unless the caller says that nobody else writes that value.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from etcdorm.path import Path
from etcdorm.v2.errors import (
    EtcdCompareFailed,
    EtcdException,
    EtcdKeyNotFound,
    EtcdRefused,
    EtcdUnconfirmed,
    EtcdWatchTimedOut,
)
from etcdorm.v2.request import Request
from etcdorm.v2.result import EtcdResult, Node

_FIRST_PAUSE = 0.02
"""Seconds between finding that it has not happened and sending it again; twice as long each time."""

_LOOK_BACK = 2.0
"""Seconds that a member may take to come up to where a quorum read saw the store; its history is asked then."""


class Reader(Protocol):
    """What settling needs of a client."""

    async def read(
        self,
        key: str,
        *,
        sorted: bool = False,
        quorum: bool = False,
        wait: bool = False,
        waitIndex: int | None = None,
        timeout: float | None = None,
    ) -> EtcdResult: ...


def can_settle(request: Request, *, unique: bool) -> bool:
    """Whether reading could tell anything about this write."""
    return request.prevIndex is not None or (unique and request.value is not None)


async def change(
    reader: Reader,
    send: Callable[[float], Awaitable[EtcdResult]],
    request: Request,
    *,
    unique: bool,
    timeout: float,
) -> EtcdResult:
    """Send a write that can be settled, until it is known what became of it or the time is up.

    ``unique``: no other call makes the same change, so what looks like this one's is this one's.
    Units: ``timeout`` in seconds, for all of it.
    Raises: what the server refused; EtcdUnconfirmed when it can't be told what became of it.
    """
    deadline = time.monotonic() + timeout
    lost: EtcdUnconfirmed | None = None
    pause = _FIRST_PAUSE
    while True:
        refusal: EtcdRefused | None = None
        try:
            return await send(_left(deadline))
        except EtcdUnconfirmed as error:
            lost = error
        except (EtcdCompareFailed, EtcdKeyNotFound) as error:
            if lost is None:
                raise
            refusal = error  # of the second sending; the first may have landed
        except EtcdException as error:
            if lost is None:
                raise
            raise lost from error
        result = await settle(reader, request, lost, unique=unique, deadline=deadline)
        if result is not None:
            return result
        if refusal is not None:
            raise refusal  # for another reason than the index, so it held for the first as well
        await asyncio.sleep(min(pause, _left(deadline)))
        pause *= 2


async def settle(
    reader: Reader, request: Request, lost: EtcdUnconfirmed, *, unique: bool, deadline: float
) -> EtcdResult | None:
    """The result of a write whose answer was lost, or None when it has not happened and the same may be sent again.

    Raises: EtcdCompareFailed or EtcdKeyNotFound when it did not happen, and never will; ``lost`` when reading can't
        tell, or is refused.
    """
    try:
        if request.method == "POST":
            return await _appended(reader, request, lost, deadline)
        if request.prevIndex is None:
            return await _written(reader, request, lost, deadline)
        return await _swapped(reader, request, request.prevIndex, lost, unique=unique, deadline=deadline)
    except (EtcdCompareFailed, EtcdKeyNotFound, EtcdUnconfirmed):
        raise
    except EtcdException as error:  # of reading back
        raise lost from error


async def _appended(reader: Reader, request: Request, lost: EtcdUnconfirmed, deadline: float) -> EtcdResult:
    """The entry of a directory that holds the value, which nobody else writes."""
    try:
        directory = await reader.read(str(request.key), sorted=True, quorum=True, timeout=_left(deadline))
    except EtcdKeyNotFound:
        raise lost from None
    for entry in directory.node.get("nodes", ()):
        if entry.get("value") == request.value:
            return _result("create", entry, directory)
    raise lost


async def _written(reader: Reader, request: Request, lost: EtcdUnconfirmed, deadline: float) -> EtcdResult:
    """The key, if it holds the value, which nobody else writes."""
    try:
        found = await reader.read(str(request.key), quorum=True, timeout=_left(deadline))
    except EtcdKeyNotFound:
        raise lost from None
    if found.value != request.value:
        raise lost
    action = "create" if found.createdIndex == found.modifiedIndex else "update"
    return _result(action, found.node, found)


async def _swapped(
    reader: Reader, request: Request, index: int, lost: EtcdUnconfirmed, *, unique: bool, deadline: float
) -> EtcdResult | None:
    key = str(request.key)
    now: EtcdResult | None
    try:
        now = await reader.read(key, quorum=True, timeout=_left(deadline))
        seen = now.etcd_index
    except EtcdKeyNotFound as error:
        now, seen = None, error.index
    if now is not None and now.modifiedIndex == index:
        return None
    event = await _first_event(reader, request.key, index + 1, seen, lost, deadline)
    if event is not None and _looks_like(request, event, index):
        if unique:
            return event
        raise _cant_tell(lost, event)
    if event is None or (event.prev_node is not None and event.prev_node.modifiedIndex != index):
        # A refresh came first: it moves a key on without an event. It may have been this very one.
        if request.method == "PUT" and request.value is None:
            raise lost
    if now is None:
        raise EtcdKeyNotFound(
            f"{request.method} {key}: the answer was lost; it did not happen, and can't any more: the key at index "
            f"{index} is gone",
            code=100,
            message="Key not found",
            cause=key,
            index=seen,
        )
    raise EtcdCompareFailed(
        f"{request.method} {key}: the answer was lost; it did not happen, and can't any more: somebody else has moved "
        f"the key on from index {index}; read it again, and decide anew",
        code=101,
        message="Compare failed",
        cause=f"[{index} != {now.modifiedIndex}]",
        index=seen,
    )


async def _first_event(
    reader: Reader, key: Path, index: int, seen: int, lost: EtcdUnconfirmed, deadline: float
) -> EtcdResult | None:
    """The first event of a key from ``index`` on; None when it has had none up to ``seen``."""
    while True:
        limit = min(_LOOK_BACK, _left(deadline))
        try:
            event = await reader.read(str(key), wait=True, waitIndex=index, timeout=limit)
        except EtcdWatchTimedOut as error:
            if error.index < seen:  # a member that is behind: its history says nothing yet
                raise lost from error
            return None
        if Path.parse(event.key).contains(key):
            return event
        index = (
            event.modifiedIndex + 1
        )  # from its history etcd also tells of keys whose name only begins like this one's


def _looks_like(request: Request, event: EtcdResult, index: int) -> bool:
    before = event.prev_node
    if event.key != str(request.key) or before is None or before.modifiedIndex != index:
        return False
    if request.method == "DELETE":
        return event.action == "compareAndDelete"
    return event.action == "compareAndSwap" and event.value == request.value


def _cant_tell(lost: EtcdUnconfirmed, event: EtcdResult) -> EtcdUnconfirmed:
    what = "deleted" if event.action == "compareAndDelete" else "given this very value"
    return EtcdUnconfirmed(
        f"{lost}. The key was {what} at index {event.modifiedIndex}, by this call or by another just like it; "
        "if no other can be just like it, say unique=True and this is settled"
    )


def _result(action: str, node: Node, answer: EtcdResult) -> EtcdResult:
    return EtcdResult(action, node, etcd_index=answer.etcd_index, raft_index=answer.raft_index)


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())
