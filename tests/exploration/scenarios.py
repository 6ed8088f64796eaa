"""What the explored writers try to do to each other."""

from __future__ import annotations

import random
from dataclasses import replace

from etcdorm.store.types import KEEP, Ttl
from tests.exploration.explorer import Dice, Faults, Intent, Mutate, Run

NAMES = ("a", "b", "c")


def random_run(seed: int, *, mutate: Mutate | None = None) -> Run:
    """A run with two or three random writers on a random record of few keys, and a few faults of all kinds."""
    dice = random.Random(seed)
    names = NAMES[: dice.choice((1, 1, 2, 3))]
    start = {name: f"{name}0" for name in names if dice.random() < 0.5} if dice.random() < 0.8 else None
    if start == {}:
        start = {"z": "z0"}  # there, and none of the keys that are fought over
    leased = dice.random() < 0.3
    intents = [
        _intent(dice, names, str(number), leased=leased, exists=start is not None)
        for number in range(1, dice.choice((2, 2, 3)) + 1)
    ]
    faults = Faults(
        lost=dice.choice((0, 0, 1, 2, 3)),
        late=dice.choice((0, 0, 1, 2, 3)),
        unsent=dice.choice((0, 0, 1)),
        deaths=dice.choice((0, 0, 1)),
        expiries=dice.choice((0, 0, 1, 3)),
    )
    intents = _with_tokens(random.Random(seed ^ 0xFE7CE), intents)
    ttl = 30 if leased and dice.random() < 0.5 else None
    foreign = dice.random() < 0.2
    return Run(intents, Dice(seed ^ 0x5EED), faults, start=start, ttl=ttl, foreign=foreign, mutate=mutate)


def _with_tokens(dice: random.Random, intents: list[Intent]) -> list[Intent]:
    """In some runs, writers hold locks, or have held them, and some of them come to fence the record."""
    if dice.random() < 0.7:
        return intents
    given = []
    for intent in intents:
        if intent.verb == "change" and dice.random() < 0.4:
            given.append(Intent("fence", token=dice.choice((5, 6, 7))))
        else:
            given.append(replace(intent, token=dice.choice((None, 5, 6, 7))))
    return given


def _intent(dice: random.Random, names: tuple[str, ...], mark: str, *, leased: bool, exists: bool) -> Intent:
    verb = dice.choice(("change", "change", "change", "remove", "create") if exists else ("create", "create", "change"))
    if verb == "remove":
        return Intent("remove")
    touched = [name for name in names if dice.random() < 0.7] or [names[0]]
    # Half of the texts are what the key held at the start: what looks as if it were done already need not be.
    texts = {name: name + dice.choice((mark, "0")) for name in touched}
    if verb == "create":
        return Intent("create", dict(texts), 30 if leased else KEEP)
    ttl: Ttl = dice.choice((None, 30)) if leased and dice.random() < 0.5 else KEEP
    return Intent("change", {name: None if dice.random() < 0.4 else text for name, text in texts.items()}, ttl)
