"""Runs the real protocol generators against the model of etcd, through interleavings and faults, and judges them.

What is checked, after every single step of the world: that the record reads as exactly the commits that landed so far
make it (no torn read, no lost update, nothing brought back to life), and that whoever is told something is told the
truth. A run that breaks a rule raises :class:`Broken`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from etcdorm.errors import EtcdormError, LeaseLapsedError, UnavailableError, UnconfirmedError
from etcdorm.store.types import KEEP, FencedRecord, StaleRecord, Ttl
from etcdorm.v2.protocol import remove, save
from etcdorm.v2.protocol.apply import Saved
from etcdorm.v2.protocol.commit import COMMIT, LEASE, Commit, is_reservation, reservation
from etcdorm.v2.protocol.fence import raised
from etcdorm.v2.protocol.snapshot import Snapshot
from etcdorm.v2.protocol.steps import Done, Look, Lost, Outcome, Pause, Request, Steps, Swap
from tests.exploration.world import RECORD, Put, World

LONGEST = 20_000
"""Steps. A run that is longer goes round in circles."""


WAITING = 0.1
"""Seconds. A pause of so many is there for others to get on; a shorter one only makes room."""

PATIENCE = 40
"""Pauses. After so many, reservations expire even while their writer is at work."""


class Broken(AssertionError):
    """The protocol did something that it promises never to do."""


class Choices(Protocol):
    """Where a run gets its decisions from."""

    def pick(self, options: int) -> int: ...


@dataclass(frozen=True)
class Intent:
    """What one writer wants: to create, change or remove the record, or to fence it with its lock's token."""

    verb: str
    fields: dict[str, str | None] = field(default_factory=dict)
    ttl: Ttl = KEEP
    token: int | None = None


@dataclass
class Truth:
    """What the record is by the commits that landed: its fields (None: it does not exist), its lease, and its fence."""

    fields: dict[str, str] | None = None
    lease: str | None = None
    fence: int | None = None
    last: str | None = None
    landed: list[str] = field(default_factory=list)


Mutate = Callable[["Run", "Writer", Request], Request | Put]


@dataclass
class Writer:
    """One process: it loads the record, then carries its intent out."""

    id: str
    intent: Intent
    steps: Steps[Saved | None] | None = None
    batch: list[Request] = field(default_factory=list)
    outcomes: list[Outcome | None] = field(default_factory=list)
    based_on: str | None = None
    verdict: str | None = None  # None while it is at work

    def todo(self) -> list[int]:
        return [place for place, outcome in enumerate(self.outcomes) if outcome is None]


@dataclass
class Faults:
    """How many of each kind a run may still meet."""

    lost: int = 0
    late: int = 0
    unsent: int = 0
    deaths: int = 0
    expiries: int = 0


class Run:
    """One run: the world, its writers, what is still on the wire, and the truth."""

    def __init__(
        self,
        intents: Sequence[Intent],
        choices: Choices,
        faults: Faults,
        *,
        start: dict[str, str] | None,
        ttl: int | None = None,
        foreign: bool = False,
        mutate: Mutate | None = None,
        patient: bool = False,
    ) -> None:
        """``foreign``: the record at the start is another tool's, without a commit.

        ``patient``: who waits for others waits until they have nothing to do, as it is when they are well.
        """
        self.world = World()
        self.truth = Truth()
        self.choices = choices
        self.patient = patient
        self.faults = Faults()
        self.mutate = mutate
        self.wire: list[tuple[Writer, Request | Put]] = []
        self.writers: list[Writer] = []
        self.pauses = 0
        if start is not None and foreign:
            for name, text in start.items():
                self.world.perform(Put(RECORD / name, text))
            self.truth.fields = dict(start)
        elif start is not None:
            self._finish_alone(Writer("start", Intent("create", dict(start), ttl)))
        self.faults = faults
        self.writers = [Writer(f"w{number}", intent) for number, intent in enumerate(intents)]

    def go(self) -> None:
        """Let everything happen in some order, then judge."""
        for _ in range(LONGEST):
            options = self._options()
            if not options:
                return self._judge()
            options[self.choices.pick(len(options))]()
        raise Broken(f"after {LONGEST} steps it is still going on")

    # What may happen next.

    def _options(self) -> list[Callable[[], None]]:
        options: list[Callable[[], None]] = []
        pauses: list[Callable[[], None]] = []
        for writer in self.writers:
            if writer.verdict is not None:
                continue
            if writer.steps is None:
                options.append(partial(self._load, writer))
                continue
            for place in writer.todo():
                deliver = partial(self._deliver, writer, place)
                request = writer.batch[place]
                waits = isinstance(request, Pause) and request.seconds >= WAITING
                (pauses if waits else options).append(deliver)
                if isinstance(request, Pause):
                    continue
                if self.faults.lost:
                    options.append(partial(self._lose_answer, writer, place))
                if self.faults.late:
                    options.append(partial(self._delay, writer, place))
            if self.faults.unsent and len(writer.batch) == 1:
                options.append(partial(self._cut_off, writer))
            if self.faults.deaths:
                options.append(partial(self._kill, writer))
        options += [partial(self._arrive, place) for place in range(len(self.wire))]
        expiring = [name for name in self.world.expiring() if self.faults.expiries or self._abandoned(name)]
        options += [partial(self._expire, name) for name in expiring]
        return options if options and self.patient else options + pauses

    def _load(self, writer: Writer) -> None:
        base = self.world.snapshot()
        intent = writer.intent
        if intent.verb != "create":
            if base.record() is None:
                writer.verdict = "nothing to do"
                return
            writer.based_on = self.truth.last
        self._begin(writer, base)

    def _begin(self, writer: Writer, base: Snapshot) -> None:
        intent = writer.intent
        if intent.verb == "create":
            fields = {name: text for name, text in intent.fields.items() if text is not None}
            ttl = intent.ttl if isinstance(intent.ttl, int) else None
            writer.steps = save.create(RECORD, fields, id=writer.id, owns=_owns, ttl=ttl, token=intent.token)
        elif intent.verb == "change":
            writer.steps = save.change(base, intent.fields, id=writer.id, ttl=intent.ttl, token=intent.token)
        elif intent.verb == "fence":
            writer.steps = save.change(base, {}, id=writer.id, token=intent.token, takes=True)
        else:
            writer.steps = remove.remove(base, id=writer.id, owns=_owns, token=intent.token)
        self._resume(writer, lambda steps: next(steps))

    def _deliver(self, writer: Writer, place: int) -> None:
        self.pauses += isinstance(writer.batch[place], Pause)
        self._answer(writer, place, self._perform(writer, self._mutated(writer, writer.batch[place])))

    def _lose_answer(self, writer: Writer, place: int) -> None:
        self.faults.lost -= 1
        self._perform(writer, self._mutated(writer, writer.batch[place]))
        self._answer(writer, place, _lost())

    def _delay(self, writer: Writer, place: int) -> None:
        self.faults.late -= 1
        if not isinstance(writer.batch[place], Look):
            self.wire.append((writer, self._mutated(writer, writer.batch[place])))
        self._answer(writer, place, _lost())

    def _arrive(self, place: int) -> None:
        writer, request = self.wire.pop(place)
        self._perform(writer, request)

    def _cut_off(self, writer: Writer) -> None:
        self.faults.unsent -= 1
        self._resume(writer, lambda steps: steps.throw(UnavailableError("out of time")))

    def _kill(self, writer: Writer) -> None:
        """It never goes on; what it had sent may still arrive."""
        self.faults.deaths -= 1
        for place in writer.todo():
            if not isinstance(writer.batch[place], Look | Pause):
                self.wire.append((writer, self._mutated(writer, writer.batch[place])))
        writer.verdict = "dead"

    def _expire(self, name: str) -> None:
        self.faults.expiries = max(0, self.faults.expiries - 1)
        value = self.world.keys[name].value
        self.world.expire(name)
        if name == LEASE and self.truth.lease is not None:
            if value == self.truth.lease:
                self.truth.fields = None
        self._check_read()

    def _abandoned(self, name: str) -> bool:
        """Whether a key is only reserved, and its writer is not at work any more or the others have waited long."""
        value = self.world.keys[name].value
        if not is_reservation(value, expires=True):
            return False
        at_work = {reservation(writer.id) for writer in self.writers if writer.verdict is None}
        return self.pauses > PATIENCE or value not in at_work

    # How a writer goes on.

    def _answer(self, writer: Writer, place: int, outcome: Outcome) -> None:
        writer.outcomes[place] = outcome
        if not writer.todo():
            outcomes = [outcome for outcome in writer.outcomes if outcome is not None]
            self._resume(writer, lambda steps: steps.send(outcomes))

    def _resume(self, writer: Writer, go: Callable[[Steps[Saved | None]], Sequence[Request]]) -> None:
        assert writer.steps is not None
        try:
            writer.batch = list(go(writer.steps))
            writer.outcomes = [None] * len(writer.batch)
        except StopIteration as stop:
            writer.verdict = "done"
            if isinstance(stop.value, Saved) and stop.value.overwritten:
                raise Broken(f"{writer.id} says that another tool wrote {set(stop.value.overwritten)}") from None
        except FencedRecord:
            writer.verdict = "fenced"
        except StaleRecord:
            writer.verdict = "stale"
        except LeaseLapsedError:
            writer.verdict = "lapsed"
        except UnconfirmedError:
            writer.verdict = "unconfirmed"
        except UnavailableError:
            writer.verdict = "unavailable"
        except EtcdormError as error:
            raise Broken(f"{writer.id} met {error!r}") from error

    # What the world does, and what is true then.

    def _perform(self, writer: Writer, request: Request | Put) -> Outcome:
        outcome = self.world.perform(request)
        if isinstance(request, Look | Pause) or not isinstance(outcome, Done):
            return outcome
        if isinstance(request, Swap) and request.path == RECORD / COMMIT:
            if not is_reservation(request.value, expires=request.ttl is not None):
                self._landed(writer, Commit.from_text(request.value))
        self._check_read()
        return outcome

    def _landed(self, writer: Writer, commit: Commit) -> None:
        truth, intent = self.truth, writer.intent
        if commit.id != writer.id:  # the version was moved, and nothing else
            if writer.based_on is not None and truth.last != writer.based_on:
                raise Broken(f"{writer.id} moved {truth.last}, which it never saw")
            if truth.fields is not None and commit.fence != truth.fence:
                raise Broken(f"{writer.id} moved the version, and the fence from {truth.fence} to {commit.fence}")
            writer.based_on = truth.last = commit.id
            return
        if commit.id in truth.landed:
            raise Broken(f"{writer.id} landed twice")
        if intent.verb == "create":
            if truth.fields is not None:
                raise Broken(f"{writer.id} created over a record that exists")
            truth.fields = {name: text for name, text in intent.fields.items() if text is not None}
        else:
            if truth.last != writer.based_on:
                raise Broken(f"{writer.id} saved over {truth.last}, which it never saw")
            if truth.fields is not None and intent.verb == "change":
                kept = {name: text for name, text in truth.fields.items() if name not in intent.fields}
                truth.fields = kept | {name: text for name, text in intent.fields.items() if text is not None}
            if intent.verb == "remove":
                truth.fields = None
        self._fenced(writer, commit)
        lease = self.world.keys.get(LEASE)
        if commit.lease and (lease is None or lease.value != commit.lease):
            truth.fields = None  # its time was up before it landed
        truth.last, truth.lease = commit.id, commit.lease
        truth.landed.append(commit.id)

    def _fenced(self, writer: Writer, commit: Commit) -> None:
        """Judge what a commit has made of the fence; one that creates the record may find an older one's, or none."""
        truth, verb, token = self.truth, writer.intent.verb, writer.intent.token
        if verb != "create":
            if verb != "fence" and None not in (token, truth.fence) and (token or 0) < (truth.fence or 0):
                raise Broken(f"{writer.id} saved with the token {token} behind the fence {truth.fence}")
            wanted = token if verb == "fence" else raised(truth.fence, None if verb == "remove" else token)
            if commit.fence != wanted:
                raise Broken(f"{writer.id} left the fence at {commit.fence}, not at {wanted}")
        truth.fence = commit.fence

    def _check_read(self) -> None:
        record = self.world.snapshot().record()
        read = None if record is None else dict(record.fields)
        if read != self.truth.fields:
            raise Broken(f"a reader sees {read}, but the commits {self.truth.landed} make it {self.truth.fields}")

    def _mutated(self, writer: Writer, request: Request) -> Request | Put:
        return request if self.mutate is None else self.mutate(self, writer, request)

    # The end of a run.

    def _judge(self) -> None:
        for writer in self.writers:
            landed = writer.id in self.truth.landed
            if writer.verdict == "done" and not landed:
                raise Broken(f"{writer.id} was told that it is done, but nothing landed")
            if writer.verdict in ("stale", "fenced", "unavailable") and landed:
                raise Broken(f"{writer.id} was told {writer.verdict}, but it landed")
        self.mutate = None
        self.faults = Faults()
        if self.world.snapshot().record() is None:
            self._finish_alone(Writer("end", Intent("create", {"a": "end"})))
        else:
            last = Writer("end", Intent("change", {"a": "end"}), based_on=self.truth.last)
            self._finish_alone(last)
        snapshot = self.world.snapshot()
        plain = {name: key.value for name, key in snapshot.plain()}
        if plain != self.truth.fields or not snapshot.applied:
            raise Broken(f"after a last quiet save the plain keys hold {plain}, not {self.truth.fields}")

    def _finish_alone(self, writer: Writer) -> None:
        self._begin(writer, self.world.snapshot())
        for _ in range(200):
            if writer.verdict is not None:
                break
            for place in writer.todo():
                self._deliver(writer, place)
        if writer.verdict != "done":
            raise Broken(f"a quiet {writer.intent.verb} ended as {writer.verdict}")


def _owns(name: str) -> bool:
    return True


def _lost() -> Lost:
    return Lost(UnconfirmedError("no answer"))


class Dice:
    """Random choices from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def pick(self, options: int) -> int:
        return self._random.randrange(options)


class Enumeration:
    """Every sequence of choices once: depth first, by running again with the last choice moved on."""

    def __init__(self) -> None:
        self._path: list[tuple[int, int]] = []
        self._depth = 0

    def pick(self, options: int) -> int:
        if self._depth == len(self._path):
            self._path.append((0, options))
        choice, _ = self._path[self._depth]
        self._depth += 1
        return choice

    def advance(self) -> bool:
        """Go to the next sequence; False when there is none."""
        self._depth = 0
        while self._path:
            choice, options = self._path[-1]
            if choice + 1 < options:
                self._path[-1] = (choice + 1, options)
                return True
            self._path.pop()
        return False
