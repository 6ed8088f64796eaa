"""Runs the real protocol generators against the model of etcd, through interleavings and faults, and judges them.

What is checked, after every single step of the world: that the record reads as exactly the calls that landed so far
make it (no torn read, no lost update, nothing brought back to life), that its TTL is what was set last, and that
whoever is told something is told the truth (see ``truth``). A run that breaks a rule raises :class:`Broken`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, NamedTuple

from etcdorm.errors import EtcdormError, LeaseLapsedError, UnavailableError, UnconfirmedError, UsageError
from etcdorm.store.types import KEEP, FencedRecord, StaleRecord
from etcdorm.v2.protocol import document, remove, save
from etcdorm.v2.protocol.apply import Saved
from etcdorm.v2.protocol.commit import is_reservation, reservation
from etcdorm.v2.protocol.fence import with_fence, without_fence
from etcdorm.v2.protocol.snapshot import Snapshot
from etcdorm.v2.protocol.steps import Done, Look, Lost, Outcome, Pause, Request, Steps
from etcdorm.v2.protocol.touch import touch
from tests.exploration.choices import Choices
from tests.exploration.truth import Broken, Call, DirectoryTruth, DocumentTruth, Intent, Known, Truth
from tests.exploration.world import RECORD, Put, Sent, World

LONGEST = 20_000
"""Steps. A run that is longer goes round in circles."""

WAITING = 0.1
"""Seconds. A pause of so many is there for others to get on; a shorter one only makes room."""

PATIENCE = 40
"""Pauses. After so many, reservations expire even while their writer is at work."""

PASSING = (1, 4, 20)
"""Seconds that may pass at once."""

Layout = Literal["directory", "document"]
Step = Callable[[], None]
Result = Saved | Snapshot | None
Mutate = Callable[["Run", "Writer", Request], Sent]


@dataclass(eq=False)
class Writer:
    """One process: it loads the record, then makes one call after the other on what it holds."""

    id: str
    intents: Sequence[Intent]
    calls: list[Call] = field(default_factory=list)
    base: Known | None = None
    """What it holds; None when it has to load."""
    steps: Steps[Result] | None = None
    """Of the call that is under way."""
    batch: list[Request] = field(default_factory=list)
    outcomes: list[Outcome | None] = field(default_factory=list)
    sent: int = 0
    """The step at which the batch was."""
    is_over: bool = False

    @property
    def call(self) -> Call:
        return self.calls[-1]

    @property
    def intent(self) -> Intent:
        return self.call.intent

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
    waits: int = 0
    """Time passes."""


class Option(NamedTuple):
    """What may happen next. ``writer`` is the place of whoever it happens to, if it is a request of his, or the first
    look of a call; ``place`` is that of the request in its batch, which was sent at the step ``sent``."""

    go: Step
    writer: int = -1
    sent: int = -1
    place: int = -1
    reads: bool = False

    def may_come_first(self, before: Option | None) -> bool:
        """Whether this would come to the same before what happened just before it, and is the lesser of the two.

        Two reads come to the same in either order. So do two writes of one batch: they are of different keys, nobody
        has looked between them, and the protocol compares a key's index with that of the commit, and no other one. So
        of all orders that differ in no more than that, the one where each is greater than the one before is enough.
        """
        if before is None or self.place < 0 or before.place < 0 or self.reads is not before.reads:
            return False
        if self.reads:
            return self.writer < before.writer
        return (self.writer, self.sent) == (before.writer, before.sent) and self.place < before.place


class Run:
    """One run: the world, its writers, what is still on the wire, and the truth."""

    def __init__(
        self,
        intents: Sequence[Intent | Sequence[Intent]],
        choices: Choices,
        faults: Faults,
        *,
        start: dict[str, str] | None,
        layout: Layout = "directory",
        ttl: int | None = None,
        foreign: bool = False,
        mutate: Mutate | None = None,
        patient: bool = False,
    ) -> None:
        """``intents``: of each writer, one or several calls, the last ones made only if there is something to call.

        ``foreign``: the record at the start is another tool's, without a commit.

        ``patient``: who waits for others waits until they have nothing to do, as it is when they are well.
        """
        self.world = World()
        self.layout: Layout = layout
        self.truth: Truth = DirectoryTruth(self.world) if layout == "directory" else DocumentTruth(self.world)
        self.choices = choices
        self.patient = patient
        self.faults = Faults()
        self.mutate = mutate
        self.wire: list[tuple[Call, Sent, int]] = []
        self.writers: list[Writer] = []
        self.pauses = 0
        self.step = 0
        self._last: Option | None = None
        if start is not None and foreign:
            for name, text in start.items():
                self.world.perform(Put(RECORD / name, text))
            self.truth.fields = dict(start)
        elif start is not None:
            self._finish_alone(Writer("start", [Intent("create", dict(start), ttl)]))
        self.faults = faults
        self.writers = [
            Writer(f"w{number}", [each] if isinstance(each, Intent) else each) for number, each in enumerate(intents)
        ]

    @property
    def calls(self) -> list[Call]:
        return [call for writer in self.writers for call in writer.calls]

    def go(self) -> None:
        """Let everything happen in some order, then judge; but give up an order that another one stands for."""
        for _ in range(LONGEST):
            options = self._options()
            if not options:
                return self._judge()
            if self.choices.are_all:
                options = [option for option in options if not option.may_come_first(self._last)]
                if not options:
                    return None
            self.step += 1
            self._last = options[self.choices.pick(len(options))]
            self._last.go()
        raise Broken(f"after {LONGEST} steps it is still going on")

    # What may happen next.

    def _options(self) -> list[Option]:
        options: list[Option] = []
        pauses: list[Option] = []
        for number, writer in enumerate(self.writers):
            if writer.is_over:
                continue
            if writer.steps is None:
                options.append(Option(partial(self._next_call, writer), number, place=0, reads=True))
                continue
            for place in writer.todo():
                request = writer.batch[place]
                if isinstance(request, Pause):
                    waits = request.seconds >= WAITING
                    (pauses if waits else options).append(Option(partial(self._deliver, writer, place)))
                    continue
                ways: list[Callable[[Writer, int], None]] = [self._deliver]
                if self.faults.lost:
                    ways.append(self._lose_answer)
                if self.faults.late:
                    ways.append(self._delay)
                reads = isinstance(request, Look)
                options += [Option(partial(way, writer, place), number, writer.sent, place, reads) for way in ways]
            if self.faults.unsent and len(writer.batch) == 1:
                options.append(Option(partial(self._cut_off, writer)))
            if self.faults.deaths:
                options.append(Option(partial(self._kill, writer)))
        options += [Option(partial(self._arrive, place)) for place in range(len(self.wire))]
        overdue = self.world.overdue()
        expiring = [
            name
            for name in self.world.expiring()
            if self.faults.expiries or name in overdue or self._is_abandoned(name)
        ]
        options += [Option(partial(self._expire, name)) for name in expiring]
        if options and self.faults.waits:
            options.append(Option(self._wait))
        return options if options and self.patient else options + pauses

    def _next_call(self, writer: Writer) -> None:
        intent = writer.intents[len(writer.calls)]
        if writer.base is None:
            writer.base = self.truth.known(self.step)
        if intent.verb != "create" and writer.base.snapshot.record() is None:
            writer.is_over = True  # nothing to do
        elif intent.verb == "touch" and writer.base.ttl is None:
            writer.calls.append(Call("", intent, writer.base, self.world.now, verdict="refused at once"))
            writer.is_over = len(writer.calls) == len(writer.intents)
        else:
            self._begin(writer, intent, writer.base)

    def _begin(self, writer: Writer, intent: Intent, base: Known) -> None:
        call = Call(f"{writer.id}.{len(writer.calls)}", intent, base, self.world.now, self.step)
        writer.calls.append(call)
        writer.steps = self._steps(call)
        self._resume(writer, lambda steps: next(steps))

    def _steps(self, call: Call) -> Steps[Result]:
        intent, base = call.intent, call.base.snapshot
        fields = {name: text for name, text in intent.fields.items() if text is not None}
        ttl = intent.ttl if isinstance(intent.ttl, int) else None
        match self.layout, intent.verb:
            case "directory", "create":
                return save.create(RECORD, fields, id=call.id, owns=_owns, ttl=ttl, token=intent.token)
            case "directory", "change":
                return save.change(base, intent.fields, id=call.id, ttl=intent.ttl, token=intent.token)
            case "directory", "remove":
                return remove.remove(base, id=call.id, owns=_owns, token=intent.token)
            case "directory", "fence":
                return save.change(base, {}, id=call.id, token=intent.token, takes=True)
            case "directory", "touch" if ttl is not None:
                return touch(base, ttl)
            case "document", "create":
                text = with_fence(fields[""], intent.token)  # as the store does it
                return document.create(RECORD, text, id=call.id, owns=_owns, ttl=ttl)
            case "document", "change":
                return document.change(base, fields[""], ttl=intent.ttl, token=intent.token)
            case "document", "remove":
                return document.remove(base, token=intent.token)
            case "document", "fence" if intent.token is not None:
                return document.fence(base, intent.token)
            case "document", "touch" if ttl is not None:
                return document.touch(base, ttl)
        raise ValueError(intent)

    def _deliver(self, writer: Writer, place: int) -> None:
        self.pauses += isinstance(writer.batch[place], Pause)
        self._answer(writer, place, self._perform(writer.call, self._mutated(writer, place), writer.sent))

    def _lose_answer(self, writer: Writer, place: int) -> None:
        self.faults.lost -= 1
        self._perform(writer.call, self._mutated(writer, place), writer.sent)
        self._answer(writer, place, self._lost(writer))

    def _delay(self, writer: Writer, place: int) -> None:
        self.faults.late -= 1
        if not isinstance(writer.batch[place], Look):
            self.wire.append((writer.call, self._mutated(writer, place), writer.sent))
        self._answer(writer, place, self._lost(writer))

    def _arrive(self, place: int) -> None:
        self._perform(*self.wire.pop(place))

    def _cut_off(self, writer: Writer) -> None:
        self.faults.unsent -= 1
        writer.call.faults += 1
        self._resume(writer, lambda steps: steps.throw(UnavailableError("out of time")))

    def _kill(self, writer: Writer) -> None:
        """It never goes on; what it had sent may still arrive."""
        self.faults.deaths -= 1
        for place in writer.todo():
            if not isinstance(writer.batch[place], Look | Pause):
                self.wire.append((writer.call, self._mutated(writer, place), writer.sent))
        writer.call.verdict = "dead"
        writer.is_over = True

    def _expire(self, name: str) -> None:
        self.faults.expiries = max(0, self.faults.expiries - 1)
        value = self.world.keys[name].value
        self.world.expire(name)
        self.truth.expired(name, value, self.step)

    def _wait(self) -> None:
        self.faults.waits -= 1
        self.world.now += PASSING[self.choices.pick(len(PASSING))]

    def _is_abandoned(self, name: str) -> bool:
        """Whether a key is only reserved, and its writer is not at work any more or the others have waited long."""
        value = self.world.keys[name].value
        if not is_reservation(value, expires=True):
            return False
        at_work = {reservation(writer.call.id) for writer in self.writers if writer.steps and not writer.is_over}
        return self.pauses > PATIENCE or value not in at_work

    # How a writer goes on.

    def _answer(self, writer: Writer, place: int, outcome: Outcome) -> None:
        writer.outcomes[place] = outcome
        if not writer.todo():
            outcomes = [outcome for outcome in writer.outcomes if outcome is not None]
            self._resume(writer, lambda steps: steps.send(outcomes))

    def _resume(self, writer: Writer, go: Callable[[Steps[Result]], Sequence[Request]]) -> None:
        assert writer.steps is not None
        try:
            writer.batch = list(go(writer.steps))
            writer.outcomes = [None] * len(writer.batch)
            writer.sent = self.step
        except StopIteration as stop:
            if isinstance(stop.value, Saved) and stop.value.overwritten:
                raise Broken(f"{writer.call.id} says that another tool wrote {set(stop.value.overwritten)}") from None
            self._end(writer, "done", stop.value)
        except FencedRecord:
            self._end(writer, "fenced")
        except StaleRecord:
            self._end(writer, "stale")
        except LeaseLapsedError:
            self._end(writer, "lapsed")
        except UnconfirmedError:
            self._end(writer, "unconfirmed")
        except UnavailableError:
            self._end(writer, "unavailable")
        except UsageError as error:
            if writer.intent.verb != "touch":
                raise Broken(f"{writer.call.id} met {error!r}") from error
            self._end(writer, "no ttl")
        except EtcdormError as error:
            raise Broken(f"{writer.call.id} met {error!r}") from error

    def _end(self, writer: Writer, verdict: str, result: Result = None) -> None:
        """A call has come to its end: what its writer holds is the record as it left it, as it was, or unknown."""
        call = writer.call
        call.verdict = verdict
        writer.steps, writer.outcomes = None, []
        self.truth.judge(call)
        left = result.snapshot if isinstance(result, Saved) else result
        if verdict in ("unconfirmed", "unavailable"):
            writer.base = call.base
        elif verdict != "done" or left is None:
            writer.base = None
        else:
            found = call.base if call.intent.verb == "touch" else call.left
            if found is None:
                raise Broken(f"{call.id} was told that it is done, but nothing landed")
            record = left.record()
            if record is None:
                raise Broken(f"{call.id} was told that it is done, and left no record")
            ttl = record.ttl if call.intent.ttl is KEEP else call.intent.ttl  # as the store tells it
            writer.base = Known(left, ttl, found.version, found.life, found.moves, found.step)
        writer.is_over = len(writer.calls) == len(writer.intents)

    # What the world does, and what is true then.

    def _perform(self, call: Call, request: Sent, sent: int) -> Outcome:
        replaced = None if isinstance(request, Look | Pause) else self.world.keys.get(RECORD.relative(request.path))
        outcome = self.world.perform(request)
        if isinstance(outcome, Done) and not isinstance(request, Pause):
            self.truth.note(call, request, sent, replaced, self.step)
        return outcome

    def _mutated(self, writer: Writer, place: int) -> Sent:
        request = writer.batch[place]
        return request if self.mutate is None else self.mutate(self, writer, request)

    # The end of a run.

    def _judge(self) -> None:
        for call in self.calls:
            landed = call.id in self.truth.landed
            if call.verdict == "done" and not landed:
                raise Broken(f"{call.id} was told that it is done, but nothing landed")
            if call.verdict in ("stale", "fenced", "unavailable") and landed:
                raise Broken(f"{call.id} was told {call.verdict}, but it landed")
        self.mutate = None
        self.faults = Faults()
        name = "a" if self.layout == "directory" else ""
        verb = "create" if self.world.snapshot().record() is None else "change"
        self._finish_alone(Writer("end", [Intent(verb, {name: '{"v":"end"}'})]))
        snapshot = self.world.snapshot()
        plain = {name: without_fence(key.value) for name, key in snapshot.plain()}
        if plain != self.truth.fields or not snapshot.applied:
            raise Broken(f"after a last quiet save the plain keys hold {plain}, not {self.truth.fields}")

    def _finish_alone(self, writer: Writer) -> None:
        self._next_call(writer)
        for _ in range(200):
            if writer.is_over:
                break
            for place in writer.todo():
                self._deliver(writer, place)
        if writer.call.verdict != "done":
            raise Broken(f"a quiet {writer.intent.verb} ended as {writer.call.verdict}")

    def _lost(self, writer: Writer) -> Lost:
        writer.call.faults += 1
        return Lost(UnconfirmedError("no answer"))


def _owns(name: str) -> bool:
    return True
