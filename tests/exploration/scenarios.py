"""What the explored writers try to do to each other."""

from __future__ import annotations

import random

from tests.exploration.explorer import Dice, Faults, Intent, Mutate, Run

NAMES = ("a", "b", "c")


def random_run(seed: int, *, writers: int = 3, mutate: Mutate | None = None, quiet: bool = False) -> Run:
    """A run with random writers on a random record, with all kinds of faults (``quiet``: none)."""
    dice = random.Random(seed)
    start = {name: f"{name}0" for name in NAMES if dice.random() < 0.7} if dice.random() < 0.7 else None
    leases = dice.random() < 0.4
    ttl = 30 if leases and dice.random() < 0.5 else None
    intents = [_intent(dice, number, leases, exists=start is not None) for number in range(writers)]
    if quiet:
        faults = Faults()
    else:
        faults = Faults(
            lost=dice.randrange(4),
            late=dice.randrange(4),
            unsent=dice.randrange(2),
            deaths=dice.randrange(writers),
            expiries=dice.randrange(4),
        )
    return Run(intents, Dice(seed ^ 0x5EED), faults, start=start, ttl=ttl, mutate=mutate)


def _intent(dice: random.Random, number: int, leases: bool, *, exists: bool) -> Intent:
    verb = dice.choice(("change", "change", "change", "remove", "create") if exists else ("create", "create", "change"))
    if verb == "remove":
        return Intent("remove")
    names = [name for name in NAMES if dice.random() < 0.5] or ["a"]
    if verb == "create":
        return Intent("create", {name: f"{name}{number + 1}" for name in names}, 30 if leases else None)
    changes = {name: None if dice.random() < 0.4 else f"{name}{number + 1}" for name in names}
    if leases and dice.random() < 0.5:
        return Intent("change", changes, dice.choice((None, 30)))
    return Intent("change", changes)
