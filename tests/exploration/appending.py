"""Runs the real code of appends and of those who read them against the model of etcd, and judges it.

Appenders write one record each; pagers read page after page; tailers follow the events, and read anew now and then.
Whoever is told something is told the truth; no record is there twice; and everybody who reads meets all of them in one
and the same order.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from etcdorm.errors import EtcdormError, UnavailableError, UnconfirmedError
from etcdorm.store.types import Collection, Record
from etcdorm.v2.line import Line
from etcdorm.v2.protocol import append
from etcdorm.v2.protocol.commit import is_reservation, reservation
from etcdorm.v2.protocol.snapshot import Key, Snapshot
from etcdorm.v2.protocol.steps import Append, Done, Drop, Look, Lost, Outcome, Recall, Refresh, Request, Steps, Swap
from etcdorm.v2.replica import Gap
from etcdorm.v2.result import EtcdResult, Node
from tests.exploration.choices import Choices, Dice
from tests.exploration.explorer import LONGEST
from tests.exploration.truth import Broken
from tests.exploration.world import RECORD, Change, Put, World

EVENTS = Collection(RECORD, 2, lambda path: True)
PAGE = 2

Verdict = Literal["done", "unconfirmed", "unavailable", "dead"]
Mutate = Callable[["Appender", Request], Request | Put]
Protocol = Callable[["Appender"], Steps[Snapshot]]


@dataclass
class Appender:
    """One process that appends one record."""

    id: str
    text: str
    steps: Steps[Snapshot] | None = None
    request: Request | None = None
    verdict: Verdict | None = None  # None while it is at work
    name: str = ""
    """Of the key that it was told."""
    behind: str = ""
    """The greatest name that anybody had been told when it began."""
    landed: list[str] = field(default_factory=list)


@dataclass
class Reader:
    """Who pages (``line`` is made anew for each page), or tails (and has come so far in the history)."""

    line: Line | None = None
    seen: int = 0
    got: list[str] = field(default_factory=list)


@dataclass
class Faults:
    """How many of each kind a run may still meet."""

    lost: int = 0
    late: int = 0
    unsent: int = 0
    deaths: int = 0
    expiries: int = 0
    meddling: int = 0
    """Other tools and sessions change, delete or refresh a key."""
    cleared: int = 0


def as_built(appender: Appender) -> Steps[Snapshot]:
    return append.append(RECORD, appender.text, id=appender.id, ttl=None)


class Run:
    """One run: the world, who writes and reads in it, and what is still on the wire."""

    def __init__(
        self,
        texts: Sequence[str],
        choices: Choices,
        faults: Faults,
        *,
        looks: int = 40,
        protocol: Protocol = as_built,
        mutate: Mutate | None = None,
        line: Callable[[Collection, str | None], Line] = Line,
    ) -> None:
        """``looks``: how often somebody reads in between; at the end everybody does."""
        self.world = World()
        self.choices = choices
        self.faults = faults
        self.could_settle = not (faults.unsent or faults.cleared)
        self.protocol = protocol
        self.mutate = mutate
        self.line = line
        self.wire: list[tuple[Appender, Request | Put]] = []
        self.appenders = [Appender(f"w{number}", text) for number, text in enumerate(texts)]
        self.pagers = [Reader()]
        self.tailers = [Reader(), Reader()]
        self.looks = looks

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
        for appender in self.appenders:
            if appender.verdict is not None:
                continue
            if appender.steps is None:
                options.append(partial(self._begin, appender))
                continue
            options.append(partial(self._deliver, appender))
            if self.faults.lost:
                options.append(partial(self._lose_answer, appender))
            if self.faults.late:
                options.append(partial(self._delay, appender))
            if self.faults.unsent:
                options.append(partial(self._cut_off, appender))
            if self.faults.deaths:
                options.append(partial(self._kill, appender))
        options += [partial(self._arrive, place) for place in range(len(self.wire))]
        options += [partial(self._expire, name) for name in self.world.expiring() if self._may_expire(name)]
        if options and self.looks:
            options += [partial(self._page, pager) for pager in self.pagers]
            options += [partial(self._read_anew, tailer) for tailer in self.tailers]
            behind = [tailer for tailer in self.tailers if self._next_event(tailer) is not None]
            options += [partial(self._follow, tailer) for tailer in behind]
        if options and self.faults.meddling:
            options += [partial(self._meddle, name) for name in self.world.keys]
        if options and self.faults.cleared:
            options.append(self._clear)
        return options

    def _begin(self, appender: Appender) -> None:
        appender.behind = max(other.name for other in self.appenders)
        appender.steps = self.protocol(appender)
        self._resume(appender, lambda steps: next(steps))

    def _deliver(self, appender: Appender) -> None:
        outcome = self._perform(appender, self._sent(appender))
        self._resume(appender, lambda steps: steps.send([outcome]))

    def _lose_answer(self, appender: Appender) -> None:
        self.faults.lost -= 1
        self._perform(appender, self._sent(appender))
        self._go_on_without(appender)

    def _delay(self, appender: Appender) -> None:
        self.faults.late -= 1
        self._leave_on_the_wire(appender)
        self._go_on_without(appender)

    def _go_on_without(self, appender: Appender) -> None:
        lost = Lost(UnconfirmedError("no answer"))
        if isinstance(appender.request, Look | Recall):
            return  # asked again, by the client itself
        self._resume(appender, lambda steps: steps.send([lost]))

    def _arrive(self, place: int) -> None:
        appender, request = self.wire.pop(place)
        self._perform(appender, request)

    def _cut_off(self, appender: Appender) -> None:
        self.faults.unsent -= 1
        self._resume(appender, lambda steps: steps.throw(UnavailableError("out of time")))

    def _kill(self, appender: Appender) -> None:
        """It never goes on; what it had sent may still arrive."""
        self.faults.deaths -= 1
        self._leave_on_the_wire(appender)
        appender.verdict = "dead"

    def _leave_on_the_wire(self, appender: Appender) -> None:
        if not isinstance(appender.request, Look | Recall):
            self.wire.append((appender, self._sent(appender)))

    def _expire(self, name: str) -> None:
        self.faults.expiries = max(0, self.faults.expiries - 1)
        self.world.expire(name)

    def _may_expire(self, name: str) -> bool:
        at_work = {reservation(appender.id) for appender in self.appenders if appender.verdict is None}
        return self.faults.expiries > 0 or self.world.keys[name].value not in at_work

    def _meddle(self, name: str) -> None:
        self.faults.meddling -= 1
        key = self.world.keys[name]
        path = RECORD / name
        other = Refresh(path, 5, key.index) if key.reserved else Swap(path, "edited", key.index)
        self.world.perform((Drop(path, key.index), other)[self.choices.pick(2)])

    def _clear(self) -> None:
        self.faults.cleared -= 1
        self.world.forget()

    # How an appender goes on.

    def _sent(self, appender: Appender) -> Request | Put:
        assert appender.request is not None
        return appender.request if self.mutate is None else self.mutate(appender, appender.request)

    def _perform(self, appender: Appender, request: Request | Put) -> Outcome:
        outcome = self.world.perform(request)
        if isinstance(outcome, Done) and isinstance(request, Append | Swap | Put) and request.value == appender.text:
            path = outcome.path if isinstance(request, Append) else request.path
            assert path is not None
            appender.landed.append(RECORD.relative(path))
            if len(appender.landed) > 1:
                raise Broken(f"{appender.id} landed twice: at {appender.landed}")
        return outcome

    def _resume(self, appender: Appender, go: Callable[[Steps[Snapshot]], Sequence[Request]]) -> None:
        assert appender.steps is not None
        try:
            (appender.request,) = go(appender.steps)
        except StopIteration as stop:
            appender.verdict = "done"
            appender.name = stop.value.path.segments[-1]
            if appender.name <= appender.behind:
                raise Broken(f"{appender.id} is {appender.name}, not behind {appender.behind}") from None
        except UnconfirmedError:
            appender.verdict = "unconfirmed"
        except UnavailableError:
            appender.verdict = "unavailable"
        except EtcdormError as error:
            raise Broken(f"{appender.id} met {error!r}") from error

    # Those who read.

    def _page(self, pager: Reader) -> None:
        self.looks -= 1
        line = self.line(EVENTS, pager.got[-1] if pager.got else "")
        self._take(pager, line.replace(self._all(), self.world.index)[:PAGE])

    def _read_anew(self, tailer: Reader) -> None:
        """As at its start, and after a break that was longer than the history."""
        self.looks -= 1
        tailer.line = tailer.line or self.line(EVENTS, "")
        tailer.seen = self.world.index
        self._take(tailer, tailer.line.replace(self._all(), self.world.index))

    def _follow(self, tailer: Reader) -> None:
        event = self._next_event(tailer)
        assert tailer.line is not None
        assert event is not None
        tailer.seen = event.index
        try:
            self._take(tailer, tailer.line.apply(_result(event)))
        except Gap:
            raise Broken(f"a tailer misses an event before {event.index}, and none was left out") from None

    def _next_event(self, tailer: Reader) -> Change | None:
        if tailer.line is None or tailer.seen < self.world.forgotten:
            return None
        return next((change for change in self.world.history if change.index > tailer.seen), None)

    def _take(self, reader: Reader, records: Sequence[Record]) -> None:
        for record in records:
            name = record.path.segments[-1]
            if is_reservation(record.fields[""], expires=record.ttl is not None):
                raise Broken(f"a reader is shown the reservation {name}")
            if reader.got and name <= reader.got[-1]:
                raise Broken(f"a reader gets {name} after {reader.got[-1]}")
            reader.got.append(name)

    def _all(self) -> Node:
        nodes = [_node(name, key) for name, key in reversed(self.world.keys.items())]  # in no order
        return {"key": str(RECORD), "dir": True, "nodes": nodes}

    # The end of a run.

    def _judge(self) -> None:
        for appender in self.appenders:
            landed = appender.landed == [appender.name] if appender.verdict == "done" else not appender.landed
            if appender.verdict in ("done", "unavailable") and not landed:
                raise Broken(f"{appender.id} was told {appender.verdict} {appender.name}, and is at {appender.landed}")
            if appender.verdict == "unconfirmed" and self.could_settle:
                raise Broken(f"{appender.id} was told unconfirmed, and it could have been settled")
        there = sorted(self.world.keys)
        made = {name for appender in self.appenders for name in appender.landed}
        for pager in self.pagers:
            for _ in there:
                self._page(pager)
        for tailer in self.tailers:
            if tailer.line is None or tailer.seen < self.world.forgotten:
                self._read_anew(tailer)
            while self._next_event(tailer) is not None:
                self._follow(tailer)
        for reader in (*self.pagers, *self.tailers):
            if missed := set(there) - set(reader.got):
                raise Broken(f"a reader has {reader.got}, and never got {sorted(missed)}")
            if invented := set(reader.got) - made:
                raise Broken(f"a reader got {sorted(invented)}, which nobody has appended")


def _node(name: str, key: Key) -> Node:
    node: Node = {
        "key": str(RECORD / name),
        "value": key.value,
        "modifiedIndex": key.index,
        "createdIndex": key.created,
    }
    if key.expires:
        node["expiration"], node["ttl"] = "2030-01-01T00:00:00Z", key.ttl or 0
    return node


def _result(change: Change) -> EtcdResult:
    prev = None if change.old is None else _node(change.name, change.old)
    if change.new is None:
        node: Node = {"key": str(RECORD / change.name), "modifiedIndex": change.index, "createdIndex": change.index}
        return EtcdResult("expire" if change.expired else "compareAndDelete", node, prev=prev)
    return EtcdResult("create" if prev is None else "compareAndSwap", _node(change.name, change.new), prev=prev)


def random_run(
    seed: int,
    *,
    protocol: Protocol = as_built,
    mutate: Mutate | None = None,
    line: Callable[[Collection, str | None], Line] = Line,
) -> Run:
    """A run with two to four appenders, some of which write the same text, and a few faults of all kinds."""
    dice = random.Random(seed)
    texts = [dice.choice("aab") for _ in range(dice.choice((2, 3, 4)))]
    faults = Faults(
        lost=dice.choice((0, 0, 1, 2, 3)),
        late=dice.choice((0, 0, 1, 2, 3)),
        unsent=dice.choice((0, 0, 1)),
        deaths=dice.choice((0, 0, 1)),
        expiries=dice.choice((0, 0, 1, 3)),
        meddling=dice.choice((0, 0, 1, 2)),
        cleared=dice.choice((0, 0, 1)),
    )
    return Run(texts, Dice(seed ^ 0x5EED), faults, protocol=protocol, mutate=mutate, line=line)
