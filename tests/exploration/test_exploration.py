"""The commit protocol, explored: the real generators on a model of etcd, every step judged (see ``explorer``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import pytest

from etcdorm.v2.protocol import save
from etcdorm.v2.protocol.apply import Saved
from etcdorm.v2.protocol.commit import COMMIT, LEASE
from etcdorm.v2.protocol.steps import Request, Steps, Swap
from tests.exploration.broken import MUTATIONS, PATCHES
from tests.exploration.choices import Enumeration
from tests.exploration.explorer import Faults, Mutate, Run
from tests.exploration.scenarios import random_run
from tests.exploration.truth import Broken, Intent
from tests.exploration.world import RECORD, World

RUNS = 15_000
"""Here; ``python -m tests.exploration --runs 1000000`` does more of the same."""


def change(**fields: str | None) -> Intent:
    return Intent("change", fields)


def create(**fields: str | None) -> Intent:
    return Intent("create", fields)


REMOVE = Intent("remove")


@pytest.mark.parametrize(
    ("first", "second", "start"),
    [
        pytest.param(change(a="1"), change(a="2"), {"a": "0"}, id="change, change"),
        pytest.param(change(a="1", b="1"), change(a="2"), {"a": "0", "b": "0"}, id="change two keys, change one"),
        pytest.param(change(b="1"), change(b="2"), {"a": "0"}, id="add, add"),
        pytest.param(change(b="1"), change(b=None), {"a": "0", "b": "0"}, id="change, delete the key"),
        pytest.param(change(b="1"), REMOVE, {"a": "0"}, id="add, remove"),
        pytest.param(REMOVE, REMOVE, {"a": "0"}, id="remove, remove"),
        pytest.param(create(a="1"), create(a="2"), None, id="create, create"),
        pytest.param(create(a="1"), REMOVE, {"a": "0"}, id="create, remove"),
    ],
)
def test_every_interleaving_of_two_writers_is_safe(first: Intent, second: Intent, start: dict[str, str] | None) -> None:
    choices = Enumeration()
    runs = 0
    while True:
        Run((first, second), choices, Faults(), start=start, patient=True).go()
        runs += 1
        if not choices.advance():
            break
    assert runs > 50


@pytest.mark.parametrize("text", ["1", "0"], ids=["another text", "the same text"])
@pytest.mark.parametrize("faults", [Faults(late=1), Faults(lost=1), Faults(deaths=1)], ids=str)
def test_every_interleaving_of_two_writers_with_one_fault_is_safe(faults: Faults, text: str) -> None:
    choices = Enumeration()
    while True:
        once = Faults(faults.lost, faults.late, faults.unsent, faults.deaths, faults.expiries)
        Run((change(a=text), change(a=None)), choices, once, start={"a": "0"}, patient=True).go()
        if not choices.advance():
            break


def test_random_runs_with_all_kinds_of_faults_are_safe() -> None:
    verdicts = set()
    for seed in range(RUNS):
        run = random_run(seed)
        try:
            run.go()
        except Broken as error:
            raise AssertionError(f"run {seed}: {error}") from error
        verdicts |= {(call.intent.verb, call.verdict) for call in run.calls}
    for verb in ("create", "change", "remove"):
        assert {(verb, "done"), (verb, "stale"), (verb, "unconfirmed"), (verb, "unavailable")} <= verdicts


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda mutate: mutate.__name__)
def test_a_protocol_that_sends_something_else_is_found_out(mutate: Mutate) -> None:
    assert finds_it_broken(nullcontext, mutate)


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.__name__)
def test_a_protocol_without_one_of_its_rules_is_found_out(patch: Callable[[], AbstractContextManager[None]]) -> None:
    assert finds_it_broken(patch, None)


def test_of_two_savers_the_ttl_of_the_later_commit_stays() -> None:
    """The first one stalls between its commit and the TTL; the second one loads, saves with another TTL, is done."""
    run = Run((), Enumeration(), Faults(), start={"a": "0"}, ttl=60)
    world = run.world
    first = save.change(world.snapshot(), {"a": "1"}, id="first", ttl=None)
    batch = next(first)
    while not any(isinstance(request, Swap) and request.path == RECORD / COMMIT for request in batch):
        batch = first.send([world.perform(request) for request in batch])
    outcomes = [world.perform(request) for request in batch]
    second = save.change(world.snapshot(), {"a": "2"}, id="second", ttl=30)
    to_end(world, second, next(second))
    to_end(world, first, first.send(outcomes))
    assert world.keys[LEASE].ttl == 30
    record = world.snapshot().record()
    assert record is not None
    assert record.fields == {"a": "2"}


def to_end(world: World, steps: Steps[Saved], batch: Sequence[Request]) -> None:
    try:
        while True:
            batch = steps.send([world.perform(request) for request in batch])
    except StopIteration:
        return


def finds_it_broken(patch: Callable[[], AbstractContextManager[None]], mutate: Mutate | None) -> bool:
    with patch():
        for seed in range(RUNS):
            try:
                random_run(seed, mutate=mutate).go()
            except Broken:
                return True
    return False
