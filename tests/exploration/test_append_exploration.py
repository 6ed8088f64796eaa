"""Appending, explored: the real generator and the real readers on a model of etcd (see ``appending``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace

import pytest

from etcdorm.errors import UnavailableError
from etcdorm.path import Path
from etcdorm.store.types import Record, Version
from etcdorm.v2.line import Line
from etcdorm.v2.protocol import append
from etcdorm.v2.protocol.snapshot import Key, Snapshot
from etcdorm.v2.protocol.steps import Append, Done, Request, Steps, Swap, one
from tests.exploration.appending import Appender, Faults, Mutate, Protocol, Run, as_built, random_run
from tests.exploration.choices import Enumeration
from tests.exploration.truth import Broken
from tests.exploration.world import RECORD, Put

RUNS = 10_000


@pytest.mark.parametrize(
    "faults",
    [Faults(), Faults(lost=1), Faults(late=1), Faults(deaths=1), Faults(expiries=1)],
    ids=str,
)
def test_every_interleaving_of_two_appenders_and_one_reader_is_safe(faults: Faults) -> None:
    choices = Enumeration()
    runs = 0
    while True:
        Run(("a", "a"), choices, replace(faults), looks=1).go()
        runs += 1
        if not choices.advance():
            break
    assert runs > 60


@pytest.mark.parametrize(
    "faults", [Faults(lost=2, cleared=1), Faults(late=2, expiries=1), Faults(lost=1, late=1, meddling=1)], ids=str
)
def test_every_history_of_one_appender_with_several_faults_is_safe(faults: Faults) -> None:
    choices = Enumeration()
    while True:
        Run(("a",), choices, replace(faults), looks=0).go()
        if not choices.advance():
            break


def test_random_runs_with_all_kinds_of_faults_are_safe() -> None:
    verdicts: Counter[str | None] = Counter()
    for seed in range(RUNS):
        run = random_run(seed)
        try:
            run.go()
        except Broken as error:
            raise AssertionError(f"run {seed}: {error}") from error
        verdicts.update(appender.verdict for appender in run.appenders)
    assert min(verdicts[verdict] for verdict in ("done", "dead", "unavailable", "unconfirmed")) > RUNS / 100


# -- the exploration finds what is broken ------------------------------------------------------------------------------


def text_posted_and_sent_again(appender: Appender) -> Steps[Snapshot]:
    while True:
        outcome = yield from one(Append(RECORD, appender.text, 60))
        if isinstance(outcome, Done) and outcome.path is not None:
            return Snapshot(outcome.path, {"": Key(appender.text, outcome.index)})


def text_posted_once(appender: Appender) -> Steps[Snapshot]:
    """What is lost counts as not sent."""
    outcome = yield from one(Append(RECORD, appender.text, 60))
    if not isinstance(outcome, Done) or outcome.path is None:
        raise UnavailableError("no answer")
    return Snapshot(outcome.path, {"": Key(appender.text, outcome.index)})


def bare_put_instead_of_the_swap(appender: Appender, request: Request) -> Request | Put:
    return Put(request.path, request.value) if isinstance(request, Swap) else request


@contextmanager
def reservations_that_look_all_the_same() -> Iterator[None]:
    """So that one takes over what another has reserved."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(append, "reservation", lambda id: "@reserved:any")
        yield


@contextmanager
def what_is_gone_counts_as_expired() -> Iterator[None]:
    """It may have been filled, and deleted since."""
    settle = append._settle

    def hasty(path: Path, reserved: Key, text: str, ttl: int | None, *, now: Key | None) -> Steps[Key | None]:
        return None if now is None else (yield from settle(path, reserved, text, ttl, now=now))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(append, "_settle", hasty)
        yield


class ShowsReservations(Line):
    def _take(self) -> list[Record]:
        return [_record(path, self._keys.pop(path)) for path in sorted(self._keys, key=str)]


class StepsOver(Line):
    def _take(self) -> list[Record]:
        filled = sorted((path for path, key in self._keys.items() if not key.reserved), key=str)
        for path in filled:
            self._after = path.segments[-1]
        return [_record(path, self._keys.pop(path)) for path in filled]


def _record(path: Path, key: Key) -> Record:
    return Record(path, {"": key.value}, Version(key.index), key.created, key.index, key.ttl)


BROKEN: dict[str, tuple[str, Protocol, Mutate | None, Callable[[], AbstractContextManager[None]], type[Line]]] = {
    "the text is posted, and sent again": ("landed twice", text_posted_and_sent_again, None, nullcontext, Line),
    "the text is posted once": ("was told unavailable", text_posted_once, None, nullcontext, Line),
    "a bare put": ("never got", as_built, bare_put_instead_of_the_swap, nullcontext, Line),
    "taken over": ("was told done", as_built, None, reservations_that_look_all_the_same, Line),
    "gone is expired": ("landed twice", as_built, None, what_is_gone_counts_as_expired, Line),
    "reservations are shown": ("is shown the reservation", as_built, None, nullcontext, ShowsReservations),
    "reservations are stepped over": ("never got", as_built, None, nullcontext, StepsOver),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_found_out(case: str) -> None:
    message, protocol, mutate, patch, line = BROKEN[case]
    with patch():
        found = next(complaints(protocol, mutate, line), "")
    assert message in found


def complaints(protocol: Protocol, mutate: Mutate | None, line: type[Line]) -> Iterator[str]:
    for seed in range(RUNS):
        try:
            random_run(seed, protocol=protocol, mutate=mutate, line=line).go()
        except Broken as error:
            yield str(error)
