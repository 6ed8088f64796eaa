"""What a record is by all that has happened to it, told without the protocol: what must be read, and who may change it.

A run hands each thing that happened to its truth, which raises :class:`Broken` when that must not happen: a save over
what its writer never saw, a record brought back to life, a torn read, a TTL that somebody else set later.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Final

from etcdorm.store.types import KEEP, Ttl
from etcdorm.v2.protocol.commit import COMMIT, LEASE, Commit, is_reservation
from etcdorm.v2.protocol.snapshot import Key, Snapshot
from etcdorm.v2.protocol.steps import Drop, DropDirectory, Refresh, Reserve, Swap
from tests.exploration.world import RECORD, BareDelete, BareRefresh, Put, Sent, World

FOREVER: Final = math.inf


class Broken(AssertionError):
    """The protocol did something that it promises never to do."""


@dataclass(frozen=True)
class Intent:
    """What one call wants: to create, change, remove or touch the record."""

    verb: str
    fields: dict[str, str | None] = field(default_factory=dict)
    ttl: Ttl = KEEP


@dataclass(frozen=True)
class Known:
    """The record as a process loaded it or left it: what its next call starts from.

    ``ttl`` is what it takes for what is left of the TTL. ``version`` is what nobody may have changed since, ``life``
    tells records apart that were made one after the other (None: it was gone already), and ``moves`` how often the
    record had changed by then, at the run's step ``step``.
    """

    snapshot: Snapshot
    ttl: int | None
    version: object
    life: int | None
    moves: int
    step: int


@dataclass(eq=False)
class Call:
    """One call, and what became of it."""

    id: str
    intent: Intent
    base: Known
    began: int
    """Seconds."""
    since: int = 0
    """The step at which it began."""
    verdict: str | None = None
    faults: int = 0
    """How many it has met."""
    left: Known | None = None
    """The record as it landed."""
    has_set_ttl: bool = False
    version: object = field(init=False)
    """What it may save over: that of its base, or that to which it has moved it."""

    def __post_init__(self) -> None:
        self.version = self.base.version


class Truth(ABC):
    """What both layouts have in common."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.fields: dict[str, str] | None = None
        """None: there is no such record."""
        self.landed: list[str] = []
        """The ids of the calls that have happened."""
        self.life = 0
        self.ended = 0
        """The step at which the last life came to its end."""
        self.moves = 0
        self.deadline: float = FOREVER
        self.ttl_set = 0
        self.ttl_taken = 0
        """The steps at which that happened last."""
        self.timed = ""
        """The last call whose commit was to set the TTL, and the step at which it has."""
        self.timed_at: int | None = None

    @property
    @abstractmethod
    def version(self) -> object: ...

    @abstractmethod
    def _note(self, call: Call, request: Sent, replaced: Key | None, step: int) -> None: ...

    @abstractmethod
    def _carries(self, name: str, value: str) -> bool:
        """Whether this key is the one that the record's life hangs on."""

    @abstractmethod
    def _deadline(self) -> float: ...

    def known(self, step: int) -> Known:
        snapshot = self.world.snapshot()
        record = snapshot.record()
        ttl, life = (None, None) if record is None else (record.ttl, self.life)
        return Known(snapshot, ttl, self.version, life, self.moves, step)

    def note(self, call: Call, request: Sent, sent: int, replaced: Key | None, step: int) -> None:
        """At this step, something was done for a call: a request which that call had sent at an earlier one."""
        life = self.life if self.fields is not None else None
        self._note(call, request, replaced, step)
        self._check_read()
        deadline = self._deadline()
        if deadline != self.deadline and life == self.life and self.fields is not None:
            self._judge_ttl(call, self.deadline, deadline, sent)
            self.ttl_set = step
            if deadline == FOREVER:
                self.ttl_taken = step
        self.deadline = deadline

    def expired(self, name: str, value: str, step: int) -> None:
        if self._carries(name, value):
            self._end()
            self.ended = step
            self.deadline = FOREVER
        self._check_read()

    def judge(self, call: Call) -> None:
        """What a call has been told is true, as far as that can be said at that moment."""
        verb, moved = call.intent.verb, self.moves > call.base.moves
        match call.verdict:
            case "stale" if not moved and (verb != "create" or self.fields is None):
                raise Broken(f"{call.id} was told that somebody came between, and nobody has")
            case "lapsed" if self.life == call.base.life and self.fields is not None:
                raise Broken(f"{call.id} was told that the record is gone, and it never was")
            case "no ttl" if self.deadline != FOREVER and self.ttl_taken < call.base.step:
                raise Broken(f"{call.id} was told that the TTL was taken away, and it never was")
            case "unconfirmed" if not call.faults:
                raise Broken(f"{call.id} was told unconfirmed, and all its requests were answered")
            case "done" if verb == "change" and call.left is not None and call.left.life is None:
                if call.since > self.ended and self.fields is None:
                    raise Broken(f"{call.id} was told that it is done, and the record had been gone before it began")
            case "done" if verb == "change" and call.intent.ttl is not KEEP:
                is_gone = call.intent.ttl is None and self.deadline == FOREVER
                if not (call.has_set_ttl or is_gone) and self.timed == call.id and self.life == call.base.life:
                    raise Broken(f"{call.id} was told that it is done, and never set the TTL")

    def _end(self) -> None:
        if self.fields is not None:
            self.life += 1
            self.moves += 1
        self.fields = None

    def _apply(self, call: Call) -> None:
        """The fields become what a call wants them to be."""
        verb, wanted = call.intent.verb, call.intent.fields
        texts = {name: text for name, text in wanted.items() if text is not None}
        if verb == "create":
            if self.fields is not None:
                raise Broken(f"{call.id} created over a record that exists")
            self.fields = texts
        elif verb == "remove":
            self._end()
        elif verb == "change":
            if self.fields is not None:
                self.fields = {name: text for name, text in self.fields.items() if name not in wanted} | texts
        else:
            raise Broken(f"{call.id} is to {verb}, and saved something")
        self.moves += 1
        if call.intent.ttl is not KEEP:
            self.timed, self.timed_at = call.id, None

    def _land(self, call: Call, step: int) -> None:
        if call.id in self.landed:
            raise Broken(f"{call.id} landed twice")
        self.landed.append(call.id)
        call.left = self.known(step)

    def _touched(self, call: Call) -> None:
        if call.intent.verb != "touch":
            return
        if self.life != call.base.life:
            raise Broken(f"{call.id} keeps a record alive that it never saw")
        if call.id not in self.landed:
            self.landed.append(call.id)

    def _touched_in_vain(self, call: Call) -> None:
        """The record that it knew was deleted, but not cleared away yet: a single request does not see that."""
        if call.intent.verb == "touch" and call.id not in self.landed:
            self.landed.append(call.id)

    def _judge_ttl(self, call: Call, before: float, after: float, sent: int) -> None:
        """The record goes on, and its end was moved by a request that was sent at a step."""
        now, intent = self.world.now, call.intent
        if sent < self.ttl_set:
            raise Broken(f"{call.id} moved a TTL that was set after it had sent this")
        if intent.verb == "change" and call.id != self.timed and self.timed_at is not None and sent >= self.timed_at:
            raise Broken(f"{call.id} set the TTL, though {self.timed} committed later, and has set it already")
        if intent.verb == "touch":
            allowed = before != FOREVER and intent.ttl is not KEEP and after == now + (intent.ttl or 0)
        elif intent.verb == "change" and isinstance(intent.ttl, int):
            allowed = after <= now + intent.ttl
        elif intent.verb == "change" and intent.ttl is None:
            allowed = after == FOREVER
        else:  # a save that keeps the TTL may only bring it back a little late
            allowed = intent.verb == "change" and before <= after <= max(before, now + 1) + now - call.began
        if not allowed:
            raise Broken(f"{call.id}, which was to {intent.verb} with ttl={intent.ttl}, moved {before} to {after}")

    def _check_read(self) -> None:
        record = self.world.snapshot().record()
        read = None if record is None else dict(record.fields)
        if read != self.fields:
            raise Broken(f"a reader sees {read}, but what landed, {self.landed}, makes it {self.fields}")


class DirectoryTruth(Truth):
    """A record that lies in a directory: each commit is told by its id, and names the one that it is made of."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.lease: str | None = None
        self.last: str | None = None

    @property
    def version(self) -> object:
        return self.last

    def _note(self, call: Call, request: Sent, replaced: Key | None, step: int) -> None:
        if isinstance(request, Swap) and request.path == RECORD / COMMIT:
            if not is_reservation(request.value, expires=request.ttl is not None):
                self._committed(call, Commit.from_text(request.value), step)
        elif isinstance(request, Swap | Refresh | BareRefresh) and request.path == RECORD / LEASE:
            known = call.base.snapshot.commit
            if replaced is not None and replaced.value == self.lease:
                call.has_set_ttl = True
                if call.id == self.timed:
                    self.timed_at = step
                self._touched(call)
            elif replaced is not None and known is not None and replaced.value == known.lease:
                self._touched_in_vain(call)

    def _committed(self, call: Call, commit: Commit, step: int) -> None:
        if call.intent.verb != "create" and self.last != call.version:
            raise Broken(f"{call.id} saved over {self.last}, which it never saw")
        if commit.id != call.id:  # the version was moved, and nothing else
            self.last = call.version = commit.id
            self.moves += 1
            return
        before = self.lease
        self._apply(call)
        self.last, self.lease = commit.id, commit.lease
        if commit.lease and commit.lease != before:
            call.has_set_ttl = True
        lease = self.world.keys.get(LEASE)
        if commit.lease and (lease is None or lease.value != commit.lease):
            self._end()  # its time was up before it landed
        self._land(call, step)

    def _carries(self, name: str, value: str) -> bool:
        return name == LEASE and self.lease is not None and value == self.lease

    def _deadline(self) -> float:
        return FOREVER if self.fields is None or self.lease is None else self.world.deadlines.get(LEASE, FOREVER)


class DocumentTruth(Truth):
    """A record that is one key. Who finds the text that it knows, in the same life, has missed nothing."""

    @property
    def version(self) -> object:
        return None if self.fields is None else (self.life, self.fields[""])

    def _note(self, call: Call, request: Sent, replaced: Key | None, step: int) -> None:
        was_there = replaced is not None and not replaced.reserved
        match request:
            case Swap(_, value, _, ttl) if not is_reservation(value, expires=ttl is not None):
                self._changed(call, step)
            case Reserve(_, value) if not is_reservation(value, expires=True):
                self._changed(call, step)
            case Put(_, value) if not is_reservation(value, expires=False):
                self._changed(call, step)
            case Drop() | DropDirectory() | BareDelete() if was_there:
                if call.intent.verb != "remove":
                    raise Broken(f"{call.id} is to {call.intent.verb}, and deleted a record")
                self._changed(call, step)
            case Refresh() | BareRefresh() if was_there:
                self._touched(call)

    def _changed(self, call: Call, step: int) -> None:
        if call.intent.verb != "create" and self.version != call.base.version:
            raise Broken(f"{call.id} saved over {self.version}, which it never saw")
        call.has_set_ttl = True
        self._apply(call)
        self._land(call, step)

    def _carries(self, name: str, value: str) -> bool:
        return name == "" and self.fields is not None

    def _deadline(self) -> float:
        return FOREVER if self.fields is None else self.world.deadlines.get("", FOREVER)
