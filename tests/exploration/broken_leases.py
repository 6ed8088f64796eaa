"""Touches and documents with one of their rules taken out, as in ``broken``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from etcdorm.errors import EtcdormError, UnavailableError
from etcdorm.path import Path
from etcdorm.store.types import Owns, StaleRecord, Ttl
from etcdorm.v2.protocol import document, remove, save
from etcdorm.v2.protocol import touch as touching
from etcdorm.v2.protocol.apply import lapsed
from etcdorm.v2.protocol.commit import LEASE, Commit, is_reservation
from etcdorm.v2.protocol.snapshot import Key, Snapshot
from etcdorm.v2.protocol.steps import (
    Done,
    Drop,
    DropDirectory,
    Lost,
    Refresh,
    Request,
    Reserve,
    Steps,
    Swap,
    look,
    one,
)
from tests.exploration import explorer
from tests.exploration.explorer import Run, Writer
from tests.exploration.world import BareDelete, BareRefresh, Put, Sent

# -- requests that name no index ---------------------------------------------------------------------------------------


def bare_refresh(run: Run, writer: Writer, request: Request) -> Sent:
    return BareRefresh(request.path, request.ttl) if isinstance(request, Refresh) else request


def bare_put(run: Run, writer: Writer, request: Request) -> Sent:
    if isinstance(request, Swap) and not is_reservation(request.value, expires=request.ttl is not None):
        return Put(request.path, request.value)
    return request


def bare_delete(run: Run, writer: Writer, request: Request) -> Sent:
    return BareDelete(request.path) if isinstance(request, Drop) else request


def an_empty_directory_is_made_room_of(run: Run, writer: Writer, request: Request) -> Sent:
    """Whoever finds its place taken and then free takes it for an empty directory; that request may be slow."""
    if isinstance(request, Reserve) and run.step > writer.sent:
        run.wire.append((writer.call, DropDirectory(request.path), run.step))
    return request


# -- touches -----------------------------------------------------------------------------------------------------------


def touch_whatever_is_there(base: Snapshot, ttl: int) -> Steps[Snapshot]:
    """Be it another record by now, or one whose TTL was taken away."""
    name = "" if base.is_document else LEASE
    key = base.keys[name]
    while True:
        outcome = yield from one(Refresh(base.path / name, ttl, index=key.index))
        if isinstance(outcome, Done):
            return base.with_keys({name: Key(key.value, outcome.index, key.created, True, ttl)})
        now = yield from look(base.path)
        if name not in now.keys:
            raise lapsed(now)
        key = now.keys[name]


def touch_that_takes_the_new_index_for_its_own(base: Snapshot, ttl: int) -> Steps[Snapshot]:
    """Though another writer has saved meanwhile: what is known is the old text then."""
    before = base.keys[""]
    moved = yield from document_touch(base, ttl)
    now = yield from look(base.path)
    key = now.keys.get("")
    index = moved.keys[""].index if key is None or key.created != before.created else key.index
    return moved.with_keys({"": Key(before.value, index, before.created, True, ttl)})


document_touch = document.touch


@contextmanager
def any_lease_is_touched() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explorer, "touch", touch_whatever_is_there)
        patch.setattr(document, "touch", touch_whatever_is_there)
        yield


@contextmanager
def a_touch_hides_a_save() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document, "touch", touch_that_takes_the_new_index_for_its_own)
        yield


@contextmanager
def a_lost_touch_counts_as_not_sent() -> Iterator[None]:
    def unavailable(path: Path) -> EtcdormError:
        return UnavailableError("no answer")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(touching, "maybe_touched", unavailable)
        yield


@contextmanager
def the_earlier_commit_sets_the_ttl() -> Iterator[None]:
    """A save sets the TTL that it was given, whoever has committed since."""

    def set_lease(path: Path, commit: Commit, ttl: int | None) -> Steps[None]:
        while True:
            snapshot = yield from look(path)
            key = snapshot.keys.get(LEASE)
            if key is None or snapshot.commit is None or snapshot.lapsed:
                raise lapsed(snapshot)
            at = path / LEASE
            request = Swap(at, key.value, key.index) if ttl is None else Refresh(at, ttl, index=key.index)
            outcome = yield from one(request)
            if isinstance(outcome, Done):
                return

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(save, "set_lease", set_lease)
        yield


# -- fences ------------------------------------------------------------------------------------------------------------


@contextmanager
def anybody_may_write() -> Iterator[None]:
    """Also who has lost the lock to somebody else."""

    def check(fence: int | None, token: int | None, current: object) -> None:
        return

    with pytest.MonkeyPatch.context() as patch:
        for module in (save, remove, document):
            patch.setattr(module, "check", check)
        yield


@contextmanager
def a_save_forgets_the_fence() -> Iterator[None]:
    def raised(fence: int | None, token: int | None) -> int | None:
        return token

    with pytest.MonkeyPatch.context() as patch:
        for module in (save, document):
            patch.setattr(module, "raised", raised)
        yield


# -- documents ---------------------------------------------------------------------------------------------------------


@contextmanager
def a_refresh_counts_as_a_save() -> Iterator[None]:
    def same(key: Key, before: Key) -> bool:
        return key.index == before.index

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document, "_same", same)
        yield


@contextmanager
def the_ttl_that_was_loaded_is_sent() -> Iterator[None]:
    def replace(base: Snapshot, text: str, ttl: Ttl, *, unique: bool = False) -> Steps[Snapshot]:
        return document._swap(base, text, ttl, unique=unique)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document, "_replace", replace)
        yield


@contextmanager
def a_document_is_created_at_once() -> Iterator[None]:
    """Where no reservation stands first, a late one brings back what was deleted meanwhile."""

    def create(path: Path, text: str, *, id: str, owns: Owns, ttl: int | None) -> Steps[Snapshot]:
        while True:
            outcome = yield from one(Reserve(path, text, ttl or 1000))
            if isinstance(outcome, Done):
                return Snapshot(path, {"": Key(text, outcome.index, outcome.index, True, ttl)})
            now = yield from look(path)
            if not isinstance(outcome, Lost) and now.keys:
                raise StaleRecord(now.record())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document, "create", create)
        yield


Guess = Callable[[Key | None, Key, str | None], bool | None]
"""What became of a lost write of this text, by the key as it is and was: done, to be sent again, or open (None)."""


def own_text_is_there(key: Key | None, before: Key, wanted: str | None) -> bool | None:
    return True if key is not None and key.value == wanted and wanted != before.value else None


def gone_is_deleted(key: Key | None, before: Key, wanted: str | None) -> bool | None:
    return True if key is None and wanted is None else None


def old_text_is_there(key: Key | None, before: Key, wanted: str | None) -> bool | None:
    return False if key is not None and (key.value, key.created) == (before.value, before.created) else None


def guessing(guess: Guess) -> Callable[[], AbstractContextManager[None]]:
    """Lost answers are guessed instead of told as unconfirmed."""

    def exactly(
        base: Snapshot, wanted: str | None, request: Callable[[Key], Request], *, unique: bool = False
    ) -> Steps[tuple[Key, int]]:
        before = known = base.keys[""]
        while True:
            outcome = yield from one(request(known))
            if isinstance(outcome, Done):
                return known, outcome.index
            now = yield from look(base.path)
            key = now.keys.get("")
            if key is not None and key.index == known.index:
                continue
            if isinstance(outcome, Lost):
                guessed = guess(key, before, wanted)
                if guessed:
                    return known, key.index if key is not None else 0
                if guessed is None:
                    raise document._unconfirmed(base.path)
            if key is None or not document._same(key, before):
                raise StaleRecord(now.record())
            known = key

    @contextmanager
    def patched() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(document, "_exactly", exactly)
            yield

    return patched
