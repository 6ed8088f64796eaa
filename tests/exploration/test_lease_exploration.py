"""Records with a TTL, and documents, explored: touches and saves by the real generators, every step judged."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import pytest

from etcdorm.store.types import KEEP, Ttl
from tests.exploration import broken_leases as broken
from tests.exploration.choices import Enumeration
from tests.exploration.explorer import Faults, Layout, Mutate, Run
from tests.exploration.scenarios import random_document_run, random_lease_run, two_who_set_the_ttl
from tests.exploration.truth import Broken, Intent

RUNS = {random_lease_run: 2_000, random_document_run: 4_000}
"""Here; ``python -m tests.exploration leases --runs 1000000`` does more of the same."""

Random = Callable[..., Run]
FAULTS = {"nothing": Faults(), **{name: Faults(**{name: 1}) for name in ("late", "lost", "deaths", "expiries")}}

TOUCH, REMOVE = Intent("touch", ttl=50), Intent("remove")
TOUCHES = [TOUCH, Intent("touch", ttl=10)]
FENCE, FENCES = Intent("fence", token=1), [Intent("fence", token=1), Intent("fence", token=2)]


@pytest.mark.parametrize("fault", FAULTS)
def test_every_interleaving_of_two_who_touch_save_and_delete_a_document_is_safe(fault: str) -> None:
    text: dict[str, str | None] = {"": '{"v":1}'}
    one, other, create = Intent("change", text), Intent("change", {"": "{}"}, ttl=None), Intent("create", text)
    pairs = [TOUCHES, [TOUCH, one], [TOUCH, other], [TOUCH, REMOVE], [one, other], [one, REMOVE], [create, REMOVE]]
    pairs += [FENCES, [FENCE, one], [FENCE, TOUCH]]
    assert sum(explored(pair, FAULTS[fault], "document") for pair in pairs) > 40


@pytest.mark.parametrize("fault", FAULTS)
def test_every_interleaving_of_two_who_touch_a_record_is_safe(fault: str) -> None:
    assert explored(TOUCHES, FAULTS[fault], "directory") > 3


@pytest.mark.parametrize("fault", ["nothing", "expiries"])
@pytest.mark.parametrize("ttl", [KEEP, None], ids=["keeping the ttl", "taking it away"])
def test_every_interleaving_of_one_who_touches_and_one_who_saves_is_safe(fault: str, ttl: Ttl) -> None:
    assert explored([TOUCH, Intent("change", {"a": "1"}, ttl)], FAULTS[fault], "directory") > 10


def explored(pair: list[Intent], faults: Faults, layout: Layout) -> int:
    choices, runs = Enumeration(), 0
    start = {"a" if layout == "directory" else "": "{}"}
    while True:
        Run(pair, choices, replace(faults), start=start, layout=layout, ttl=30, patient=True).go()
        runs += 1
        if not choices.advance():
            return runs


@pytest.mark.parametrize("random_run", RUNS, ids=lambda run: run.__name__)
def test_random_runs_with_all_kinds_of_faults_are_safe(random_run: Random) -> None:
    verdicts = set()
    for seed in range(RUNS[random_run]):
        run = random_run(seed)
        try:
            run.go()
        except Broken as error:
            raise AssertionError(f"run {seed}: {error}") from error
        verdicts |= {(call.intent.verb, call.verdict) for call in run.calls}
    ends = {"done", "unconfirmed", "unavailable", "dead"}
    for verb in ("create", "change", "remove"):
        assert {(verb, end) for end in ends | {"stale"}} <= verdicts
    assert {("touch", end) for end in ends | {"lapsed", "no ttl"}} <= verdicts
    assert {("fence", "done"), ("fence", "stale"), ("change", "fenced"), ("remove", "fenced")} <= verdicts


LEASE, DOCUMENT, TWO_TTLS = random_lease_run, random_document_run, two_who_set_the_ttl
Patch = Callable[[], AbstractContextManager[None]]
CASES: dict[str, tuple[str, Random, Mutate | None, Patch]] = {
    "refreshed without an index": ("moved a TTL that was set after", LEASE, broken.bare_refresh, nullcontext),
    "any lease is touched": ("that it never saw", LEASE, None, broken.any_lease_is_touched),
    "a lost touch counts as not sent": ("told unavailable", LEASE, None, broken.a_lost_touch_counts_as_not_sent),
    "the earlier commit sets the ttl": (
        "committed later",
        TWO_TTLS,
        None,
        broken.the_earlier_commit_sets_the_ttl,
    ),
    "anybody may write": ("had the lock since as", LEASE, None, broken.anybody_may_write),
    "a save forgets the fence": ("of the fence", LEASE, None, broken.a_save_forgets_the_fence),
    "document: anybody may write": ("had the lock since as", DOCUMENT, None, broken.anybody_may_write),
    "document: a save forgets the fence": ("of the fence", DOCUMENT, None, broken.a_save_forgets_the_fence),
    "document: refreshed without an index": ("moved a TTL that", DOCUMENT, broken.bare_refresh, nullcontext),
    "document: any is touched": ("which was to touch", DOCUMENT, None, broken.any_lease_is_touched),
    "document: a touch hides a save": ("which it never saw", DOCUMENT, None, broken.a_touch_hides_a_save),
    "document: a lost touch": ("told unavailable", DOCUMENT, None, broken.a_lost_touch_counts_as_not_sent),
    "document: a refresh counts as a save": ("came between", DOCUMENT, None, broken.a_refresh_counts_as_a_save),
    "document: the loaded ttl": (
        "to change with ttl",
        DOCUMENT,
        None,
        broken.the_ttl_that_was_loaded_is_sent,
    ),
    "document: a bare put": ("which it never saw", DOCUMENT, broken.bare_put, nullcontext),
    "document: a bare delete": ("which it never saw", DOCUMENT, broken.bare_delete, nullcontext),
    "document: made room of": ("and deleted", DOCUMENT, broken.an_empty_directory_is_made_room_of, nullcontext),
    "document: created at once": ("landed twice", DOCUMENT, None, broken.a_document_is_created_at_once),
    "document: own text": ("nothing landed", DOCUMENT, None, broken.guessing(broken.own_text_is_there)),
    "document: gone": ("nothing landed", DOCUMENT, None, broken.guessing(broken.gone_is_deleted)),
    "document: old text": ("landed twice", DOCUMENT, None, broken.guessing(broken.old_text_is_there)),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_broken_is_found_out(case: str) -> None:
    message, random_run, mutate, patch = CASES[case]
    with patch():
        for seed in range(20_000):
            try:
                random_run(seed, mutate=mutate).go()
            except Broken as error:
                if message in str(error):
                    return
    raise AssertionError("it was not")
