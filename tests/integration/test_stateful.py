"""Two sessions and another tool do whatever Hypothesis comes up with, and a plain dict foretells all of it.

``ETCDORM_STATEFUL=2000 pytest tests/integration/test_stateful.py`` tries so many other random sequences.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from etcdorm import EtcdModel, EtcdormError, Session
from etcdorm.embedded import EtcdServer
from etcdorm.session.conflicts import OnConflict
from etcdorm.store import KEEP, Ttl
from etcdorm.v2 import Client
from etcdorm.v2.protocol.commit import APPLIED, BOOKKEEPING, COMMIT, LEASE, Commit
from etcdorm.v2.store import V2Store
from tests.support.models import Doc, Node, Service
from tests.support.oracle import Entry, Held, Kind, Oracle, Predicted, Values
from tests.support.raw import DEADLINE, leaves

EXAMPLES = int(os.environ.get("ETCDORM_STATEFUL", "0"))
FIXED = settings(max_examples=25, derandomize=True)
quiet = settings(
    FIXED if not EXAMPLES else settings(max_examples=EXAMPLES),
    stateful_step_count=30,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

T = TypeVar("T")
MODELS: dict[Kind, type[Service]] = {"nodes": Node, "docs": Doc}
NAMES = ("n1", "n2")
"""Mostly the first, so that there is something to meet."""
TTLS = (1_000, 100_000)

kinds = st.sampled_from(tuple(MODELS))
names = st.sampled_from((*NAMES[:1] * 3, *NAMES))
sessions = st.integers(0, 1)
ttls: st.SearchStrategy[Ttl] = st.sampled_from((KEEP, KEEP, KEEP, None, *TTLS))
conflicts: st.SearchStrategy[OnConflict] = st.sampled_from(("raise", "raise", "merge", "overwrite"))
labels = st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy"))
values = st.builds(Values, st.sampled_from("fgh"), st.sampled_from((1, 2, 8080)), labels)
edits: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries({"host": st.sampled_from("fgh")}),
    st.fixed_dictionaries({"port": st.sampled_from((1, 2, 8080))}),
    st.fixed_dictionaries({"labels": labels}),
    st.just({}),
)
key_texts = {
    "host": st.sampled_from("fgh"),
    "port": st.sampled_from(("1", "08080", "garbage")),
    "labels/a": st.sampled_from("xy"),
    "labels/c": st.sampled_from("xy"),
    "note": st.sampled_from("xy"),
    "other/note": st.just("x"),
}
documents = st.sampled_from(('{"host": "f"}', '{"note":1,"port":2}', '{"labels":{"b":"y","a":"x"}}', "garbage"))


class Line(EtcdModel, path="/log/{id}"):
    id: str = ""
    text: str


class Handler(logging.Handler):
    """Collects the warnings that a save replaced another tool's edit."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.replaced: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.replaced.append(record.getMessage())


@dataclass(eq=False)
class Object:
    """One in memory, and what the oracle knows of it."""

    model: Service
    held: Held

    @property
    def path(self) -> str:
        return self.held.path


class Machine(RuleBasedStateMachine):
    objects: Bundle[Object] = Bundle("objects")

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.oracle = Oracle()
        self.log: list[tuple[str, str]] = []
        """What was appended and is there, in order: the key, and the text of the line."""
        self.versions: dict[tuple[str, int | None], int] = {}
        self.runner = asyncio.Runner()
        self.client, self.sessions, self.reader = self.run(self._open(self.url))
        self.warnings = Handler()
        logging.getLogger("etcdorm").addHandler(self.warnings)

    async def _open(self, url: str) -> tuple[Client, list[Session], Session]:
        client, *clients = [Client(url) for _ in range(4)]
        for path in ("/nodes", "/docs", "/log"):
            if await leaves(client, path):
                await client.delete(path, recursive=True)
        first, second, reader = (Session(V2Store(each)) for each in clients)
        return client, [first, second], reader

    def teardown(self) -> None:
        logging.getLogger("etcdorm").removeHandler(self.warnings)
        for session in (*self.sessions, self.reader):
            self.run(session.close())
        self.run(self.client.close())
        self.runner.close()

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)

    def does(self, predict: Callable[[], object], call: Coroutine[Any, Any, T]) -> T | None:
        """Make a call, which ends as the oracle predicts: its result, or None when it was to raise and has."""
        kind: type[EtcdormError] | None = None
        try:
            predict()
        except Predicted as predicted:
            kind = predicted.kind
        if kind is None:
            return self.run(call)
        with pytest.raises(EtcdormError) as raised:
            self.run(call)
        assert type(raised.value) is kind, repr(raised.value)
        return None

    @initialize(target=objects, values=values, ttl=ttls, other=edits)
    def begin(self, values: Values, ttl: Ttl, other: dict[str, Any]) -> MultipleResults[Object]:
        """Of each kind two objects of one record, as two sessions have loaded it; mostly one has saved it since."""
        objects: list[Object] = []
        for kind in MODELS:
            first = self.new(kind, NAMES[0], values)
            self.save(0, first, {}, "raise", ttl)
            second = self.load(1, kind, NAMES[0])
            assert isinstance(second, Object)
            self.save(0, first, other, "raise", KEEP)
            objects += [first, second]
        return multiple(*objects)

    # -- objects in memory -----------------------------------------------------------------------------------------

    @rule(target=objects, kind=kinds, name=names, values=values)
    def make(self, kind: Kind, name: str, values: Values) -> Object | MultipleResults[Object]:
        return self.new(kind, name, values)

    def new(self, kind: Kind, name: str, values: Values) -> Object:
        model = MODELS[kind](name=name, host=values.host, port=values.port, labels=dict(values.labels))
        return Object(model, Held(kind, name, values))

    @rule(target=objects, who=sessions, kind=kinds, name=names)
    def load(self, who: int, kind: Kind, name: str) -> Object | MultipleResults[Object]:
        held: list[Held] = []
        model = self.does(
            lambda: held.append(self.oracle.load(kind, name)), self.sessions[who].load(MODELS[kind], name)
        )
        if model is None:
            return multiple()
        assert values_of(model) == held[0].values
        return Object(model, held[0])

    @rule(held=objects, edit=edits)
    def edit(self, held: Object, edit: dict[str, Any]) -> None:
        held.held.values = replace(held.held.values, **edit)
        for field, value in edit.items():
            setattr(held.model, field, value)

    @rule(who=sessions, held=objects)
    def reload(self, who: int, held: Object) -> None:
        self.does(lambda: self.oracle.reload(held.held), self.sessions[who].reload(held.model))
        assert values_of(held.model) == held.held.values

    # -- what sessions write ---------------------------------------------------------------------------------------

    @rule(who=sessions, held=objects, first=edits, second=edits, text=st.sampled_from("xyz"))
    def save_and_save_again(
        self, who: int, held: Object, first: dict[str, Any], second: dict[str, Any], text: str
    ) -> None:
        """Beside another tool, which writes before each save."""
        for number, edit in enumerate((first, second)):
            if held.held.kind == "nodes":
                self.write(held.path, ("host", "labels/b")[number], text)
            self.save(who, held, edit, "raise", KEEP)

    @rule(who=sessions, held=objects, edit=edits, on_conflict=conflicts, ttl=ttls)
    def save(self, who: int, held: Object, edit: dict[str, Any], on_conflict: OnConflict, ttl: Ttl) -> None:
        self.edit(held, edit)
        self.warnings.replaced.clear()
        call = self.sessions[who].save(held.model, on_conflict=on_conflict, ttl=ttl)
        saved = self.does(lambda: self.oracle.save(held.held, on_conflict, ttl), call)
        assert values_of(held.model) == held.held.values
        expected = [", ".join(sorted(self.oracle.warned))] if saved is not None and self.oracle.warned else []
        assert [text.rpartition("meanwhile to: ")[2] for text in self.warnings.replaced] == expected

    @rule(target=objects, who=sessions, kind=kinds, name=names, edit=edits)
    def update(self, who: int, kind: Kind, name: str, edit: dict[str, Any]) -> Object | MultipleResults[Object]:
        def predict() -> None:
            held.append(self.oracle.load(kind, name))
            held[0].values = replace(held[0].values, **edit)
            self.oracle.save(held[0], "raise", KEEP)

        def change(model: Service) -> None:
            for field, value in edit.items():
                setattr(model, field, value)

        held: list[Held] = []
        model = self.does(predict, self.sessions[who].update(MODELS[kind], name, change))
        return multiple() if model is None else Object(model, held[0])

    @rule(who=sessions, held=objects)
    def delete(self, who: int, held: Object) -> None:
        self.does(lambda: self.oracle.delete(held.held), self.sessions[who].delete(held.model))

    @rule(who=sessions, held=objects, ttl=st.sampled_from(TTLS))
    def refresh(self, who: int, held: Object, ttl: int) -> None:
        self.does(lambda: self.oracle.refresh(held.held, ttl), self.sessions[who].refresh(held.model, ttl=ttl))

    # -- what other tools do ---------------------------------------------------------------------------------------

    @rule(name=names, key=st.sampled_from(sorted(key_texts)), data=st.data())
    def set_key(self, name: str, key: str, data: st.DataObject) -> None:
        self.write(f"/nodes/{name}", key, data.draw(key_texts[key]))

    def write(self, path: str, key: str, text: str) -> None:
        self.oracle.set_key(path, key, text)
        self.run(self.client.write(f"{path}/{key}", text))

    @rule(name=names, text=documents)
    def set_document(self, name: str, text: str) -> None:
        self.oracle.set_key(f"/docs/{name}", "", text)
        self.run(self.client.write(f"/docs/{name}", text))

    @precondition(lambda self: any(entry.keys for entry in self.oracle.entries.values()))
    @rule(data=st.data())
    def delete_key(self, data: st.DataObject) -> None:
        keys = [(path, name) for path, entry in self.oracle.entries.items() for name in entry.keys]
        path, name = data.draw(st.sampled_from(sorted(keys)))
        self.oracle.delete_key(path, name)
        self.run(self.client.delete(f"{path}/{name}".removesuffix("/")))

    @precondition(lambda self: self.oracle.entries)
    @rule(data=st.data())
    def delete_all(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(sorted(self.oracle.entries)))
        self.oracle.delete_all(path)
        self.run(self.client.delete(path, recursive=True))

    @precondition(lambda self: any(entry.ttl for entry in self.oracle.entries.values()))
    @rule(data=st.data(), held=objects, who=sessions)
    def lapse(self, data: st.DataObject, held: Object, who: int) -> None:
        """A TTL runs out, and an object that may know the record is the first to meet it."""
        leased = [path for path, entry in self.oracle.entries.items() if entry.ttl and not entry.remains]
        if not leased:
            return
        path = held.path if held.path in leased else data.draw(st.sampled_from(sorted(leased)))
        self.oracle.lapse(path)
        self.run(self.client.delete(path if path.startswith("/docs") else f"{path}/@lease"))
        match data.draw(st.sampled_from(("save", "delete", "refresh", "load"))):
            case "save":
                self.save(who, held, {"port": 7}, "raise", data.draw(ttls))
            case "delete":
                self.delete(who, held)
            case "refresh":
                self.refresh(who, held, TTLS[0])
            case _:
                self.reload(who, held)

    # -- appends ---------------------------------------------------------------------------------------------------

    @rule(who=sessions, text=st.sampled_from("xyz"), ttl=st.sampled_from((None, *TTLS)))
    def append(self, who: int, text: str, ttl: int | None) -> None:
        line = self.run(self.sessions[who].append(Line(text=text), ttl=ttl))
        assert not self.log or line.id > self.log[-1][0]
        self.log.append((line.id, text))

    @rule(who=sessions, data=st.data(), limit=st.none() | st.integers(0, 3))
    def page(self, who: int, data: st.DataObject, limit: int | None) -> None:
        after = data.draw(st.sampled_from([None, *(key for key, _ in self.log)]))
        found = self.run(self.sessions[who].records(Line, after=after, limit=limit))
        expected = [pair for pair in self.log if after is None or pair[0] > after]
        assert [(line.id, line.text) for line in found] == expected[:limit]

    @rule(who=sessions, keep=st.integers(0, 4))
    def trim(self, who: int, keep: int) -> None:
        gone = max(0, len(self.log) - keep)
        assert self.run(self.sessions[who].trim(Line, keep=keep)) == gone
        del self.log[:gone]

    # -- after each step, somebody who has seen nothing of it --------------------------------------------------------

    @invariant()
    def a_third_session_and_etcd_itself_agree(self) -> None:
        for kind, model in MODELS.items():
            self._check_session(kind, model)
        self.met_remains = [path for path, entry in self.oracle.entries.items() if entry.remains]
        for path in self.met_remains:
            self.oracle.clear(path)
        self.run(self._check_etcd())

    def _check_session(self, kind: Kind, model: type[Service]) -> None:
        names = self.oracle.names(kind)
        entries = {name: self.oracle.entries[f"/{kind}/{name}"] for name in names}
        listed = self.run(self.reader.list(model, on_invalid="collect"))
        good = [name for name in names if readable(entries[name])]
        assert [each.name for each in listed] == good
        assert [each.path for each in listed.invalid] == [f"/{kind}/{name}" for name in names if name not in good]
        for each in listed:
            self._check(f"/{kind}/{each.name}", each, entries[each.name])
        assert self.run(self.reader.count(model)) == len(names)
        assert self.run(self.reader.keys(model)) == [(name,) for name in names]
        for name in NAMES:
            assert self.run(self.reader.exists(model, name)) is (name in names)

    def _check(self, path: str, model: Service, entry: Entry) -> None:
        assert values_of(model) == entry.values()
        place = model.etcd
        assert place is not None
        if entry.ttl is None:
            assert place.ttl is None
        else:
            assert place.ttl is not None
            assert entry.ttl - 600 < place.ttl <= entry.ttl
        if not entry.is_document:
            assert self.versions.setdefault((path, entry.version), place.version) == place.version
            assert (place.version == 0) is (entry.version is None)

    async def _check_etcd(self) -> None:
        """What is left of records is cleared away in its own time, now that the third session has met it."""
        async with asyncio.timeout(DEADLINE):
            while not is_clean(await self._all_keys(), self.oracle.entries):
                assert self.met_remains
        lines = sorted((await leaves(self.client, "/log")).items())
        assert [(key, json.loads(leaf.value or "")["text"]) for key, leaf in lines] == self.log

    async def _all_keys(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for kind in MODELS:
            for key, leaf in (await leaves(self.client, f"/{kind}")).items():
                name, _, relative = key.partition("/")
                found.setdefault(f"/{kind}/{name}", {})[relative] = leaf.value or ""
        return found


def is_clean(found: Mapping[str, Mapping[str, str]], entries: Mapping[str, Entry]) -> bool:
    """Whether etcd holds these entries, their bookkeeping, and nothing else."""
    return found.keys() == entries.keys() and all(is_kept(found[path], entry) for path, entry in entries.items())


def is_kept(found: Mapping[str, str], entry: Entry) -> bool:
    plain = {name: text for name, text in found.items() if name not in BOOKKEEPING}
    if plain != entry.texts():
        return False
    kept = found.keys() & BOOKKEEPING
    if entry.is_document or (entry.version is None and not entry.remains):
        return not kept
    commit = Commit.from_text(found[COMMIT])
    if entry.remains:
        return commit.deleted and kept == {COMMIT}
    leased = entry.life is not None
    return kept == {COMMIT, APPLIED, *([LEASE] if leased else [])} and found[APPLIED] == commit.id


def readable(entry: Entry) -> bool:
    try:
        entry.values()
    except Predicted:
        return False
    return True


def values_of(model: Service) -> Values:
    return Values(model.host, model.port, model.labels)


def test_a_plain_dict_foretells_all_that_sessions_and_other_tools_do(etcd: EtcdServer) -> None:
    class Here(Machine):
        url = etcd.url

    run_state_machine_as_test(Here, settings=quiet)
