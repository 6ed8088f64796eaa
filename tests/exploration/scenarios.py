"""What the explored writers try to do to each other."""

from __future__ import annotations

import random

from etcdorm.store.types import KEEP, Ttl
from tests.exploration.choices import Dice
from tests.exploration.explorer import Faults, Mutate, Run
from tests.exploration.truth import Intent

NAMES = ("a", "b", "c")
TTLS = (10, 30, 50)
TEXTS = ('{"v":"a"}', '{"v":"b"}', '{"v":"c"}')


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
    ttl = 30 if leased and dice.random() < 0.5 else None
    foreign = dice.random() < 0.2
    return Run(intents, Dice(seed ^ 0x5EED), _faults(dice), start=start, ttl=ttl, foreign=foreign, mutate=mutate)


def random_lease_run(seed: int, *, mutate: Mutate | None = None) -> Run:
    """As above, on a record that mostly has a TTL, with writers who touch and fence it and make several calls each."""
    dice = random.Random(seed)
    start = {"a": "a0"} if dice.random() < 0.9 else None
    writers = [
        [_lease_intent(dice, f"{number}{turn}", token + turn) for turn in range(dice.choice((1, 2, 3)))]
        for number, token in enumerate(_tokens(dice))
    ]
    ttl = dice.choice(TTLS) if dice.random() < 0.9 else None
    faults = _faults(dice, waits=dice.choice((0, 1, 3)))
    return Run(writers, Dice(seed ^ 0x5EED), faults, start=start, ttl=ttl, mutate=mutate)


def two_who_set_the_ttl(seed: int, *, mutate: Mutate | None = None) -> Run:
    intents = [Intent("change", {"a": "1"}, None), Intent("change", {"a": "2"}, 10)]
    return Run(intents, Dice(seed), Faults(), start={"a": "0"}, ttl=30, mutate=mutate)


def random_document_run(seed: int, *, mutate: Mutate | None = None) -> Run:
    """As above, on a record that is one key. There are few texts, so that two writers may have the same idea."""
    dice = random.Random(seed)
    start = {"": TEXTS[0]} if dice.random() < 0.7 else None
    leased = dice.random() < 0.6
    writers = [
        [_document_intent(dice, token + turn, leased=leased) for turn in range(dice.choice((1, 1, 2, 3)))]
        for token in _tokens(dice)
    ]
    ttl = dice.choice(TTLS) if leased and dice.random() < 0.8 else None
    faults = _faults(dice, waits=dice.choice((0, 1, 3)))
    return Run(writers, Dice(seed ^ 0x5EED), faults, start=start, layout="document", ttl=ttl, mutate=mutate)


def _tokens(dice: random.Random) -> list[int]:
    """Of the first lock that each of the writers has, or has had; each lock has a token of its own."""
    return dice.sample(range(10, 100, 10), dice.choice((1, 2, 2, 3)))


def _faults(dice: random.Random, *, waits: int = 0) -> Faults:
    return Faults(
        lost=dice.choice((0, 0, 1, 2, 3)),
        late=dice.choice((0, 0, 1, 2, 3)),
        unsent=dice.choice((0, 0, 1)),
        deaths=dice.choice((0, 0, 1)),
        expiries=dice.choice((0, 0, 1, 3)),
        waits=waits,
    )


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


def _lease_intent(dice: random.Random, mark: str, token: int) -> Intent:
    held = token if dice.random() < 0.3 else None
    match dice.choice(("touch", "touch", "touch", "change", "change", "change", "remove", "create", "fence")):
        case "touch":
            return Intent("touch", ttl=dice.choice(TTLS))
        case "change":
            ttl: Ttl = dice.choice((KEEP, KEEP, None, *TTLS))
            return Intent("change", {"a": dice.choice(("a0", mark))}, ttl, held)
        case "remove":
            return Intent("remove", token=held)
        case "fence":
            return Intent("fence", token=token)
        case _:
            return Intent("create", {"a": mark}, dice.choice((KEEP, *TTLS)), held)


def _document_intent(dice: random.Random, token: int, *, leased: bool) -> Intent:
    text: dict[str, str | None] = {"": dice.choice(TEXTS)}
    held = token if dice.random() < 0.3 else None
    match dice.choice(("change", "change", "change", "remove", "create", "touch", "touch", "fence")):
        case "touch" if leased:
            return Intent("touch", ttl=dice.choice(TTLS))
        case "remove":
            return Intent("remove", token=held)
        case "create":
            return Intent("create", text, dice.choice((KEEP, *TTLS)) if leased else KEEP, held)
        case "fence":
            return Intent("fence", token=token)
        case _:
            return Intent("change", text, dice.choice((KEEP, KEEP, None, *TTLS)) if leased else KEEP, held)
