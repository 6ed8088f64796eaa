"""The protocol with one of its rules taken out. The exploration must find out each of them, or it proves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from etcdorm.errors import UnconfirmedError
from etcdorm.path import Path
from etcdorm.store.types import StaleRecord
from etcdorm.v2.protocol import apply as applying
from etcdorm.v2.protocol import land, save
from etcdorm.v2.protocol.apply import Expected, Saved
from etcdorm.v2.protocol.commit import BOOKKEEPING, Commit
from etcdorm.v2.protocol.snapshot import Snapshot
from etcdorm.v2.protocol.steps import Done, Request, Reserve, Steps, Swap
from tests.exploration.explorer import Mutate, Run, Writer
from tests.exploration.world import RECORD, Put, Sent


def bare_put_when_applying(run: Run, writer: Writer, request: Request) -> Sent:
    """Plain keys are written whatever is in them."""
    if isinstance(request, Swap) and RECORD.relative(request.path) not in BOOKKEEPING:
        return Put(request.path, request.value)
    return request


def create_instead_of_reserving(run: Run, writer: Writer, request: Request) -> Sent:
    """A plain key that is not there is created with its value, by prevExist=false."""
    name = RECORD.relative(request.path) if isinstance(request, Reserve) else ""
    text = writer.intent.fields.get(name)
    if isinstance(request, Reserve) and text is not None and name not in BOOKKEEPING:
        return Put(request.path, text, only_new=True)
    return request


def no_second_look_after_reserving(run: Run, writer: Writer, request: Request) -> Sent:
    """The value follows its reservation without a look at who has committed meanwhile."""
    name = RECORD.relative(request.path) if isinstance(request, Reserve) else ""
    text = writer.intent.fields.get(name)
    if isinstance(request, Reserve) and text is not None and name not in BOOKKEEPING:
        outcome = run.world.perform(request)
        if isinstance(outcome, Done):
            run.wire.append((writer.call, Swap(request.path, text, outcome.index), run.step))
    return request


@contextmanager
def nothing_is_taken_over() -> Iterator[None]:
    """A save leaves the changes of the one before it, which died half way, to nobody."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(save, "carried", lambda snapshot: {})
        yield


@contextmanager
def no_fresh_look_after_deletes() -> Iterator[None]:
    """Deletes and taken over changes are worked from what was loaded before the commit."""

    def trusting(commit: Commit, mine: Snapshot, *, trusted: bool, expected: Expected) -> Steps[Saved]:
        return applying.apply(commit, mine, trusted=commit.lease is None, expected=expected)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(save, "apply", trusting)
        yield


@contextmanager
def text_that_is_there_is_left_alone() -> Iterator[None]:
    """A key that holds its text already is not written, though an earlier writer may still be about to change it."""

    work = applying._work

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(applying, "_work", lambda path, commit, snapshot, quiet: work(path, commit, snapshot, 0))
        yield


@contextmanager
def conflict_when_the_record_is_gone() -> Iterator[None]:
    """What can't be settled is called a conflict."""

    def unconfirmed(path: Path) -> UnconfirmedError:
        raise StaleRecord(None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(land, "_unconfirmed", unconfirmed)
        yield


MUTATIONS: tuple[Mutate, ...] = (
    bare_put_when_applying,
    create_instead_of_reserving,
    no_second_look_after_reserving,
)
PATCHES = (
    nothing_is_taken_over,
    no_fresh_look_after_deletes,
    text_that_is_there_is_left_alone,
    conflict_when_the_record_is_gone,
)
