"""The benchmarks end and measure everyone; what they measure is for nobody to assert."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections import Counter
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from benchmarks import calls, timing, watching
from benchmarks.contenders.bare_aiohttp import Tuned
from benchmarks.contenders.floor import Floor
from benchmarks.contenders.found import CALLERS, FLOOR, OURS, TUNED, WATCHERS, Found, find
from benchmarks.contenders.port import Blocking, Contender
from benchmarks.coordination import arrival, tables
from benchmarks.coordination.changing import saves
from benchmarks.coordination.holding import WAYS, holding
from benchmarks.coordination.leases import keeping
from benchmarks.coordination.locks import hand_over
from benchmarks.coordination.models import KINDS, Layout, server
from benchmarks.filling import fill
from benchmarks.mapper import floors, running, work
from benchmarks.mapper.models import Few, Fields, New, One, made, values
from benchmarks.pairs import cpu, over_floor, seconds
from benchmarks.workload import Running
from etcdorm import Created, Session, Updated, connect
from etcdorm.mapping import schema_of
from etcdorm.testing import EtcdServer, FaultProxy
from etcdorm.v2 import Client
from etcdorm.v2.observers import Call, Observer
from etcdorm.v2.protocol.commit import Commit
from tests.support.raw import indexes

ROOT = Path(__file__).parents[2]
EXTRA = {
    "aio_etcd": ("python-aio-etcd", "python_aio_etcd"),
    "etcd": ("python-etcd", "python_etcd"),
    "k3etcd": ("k3etcd", "k3"),
}


def at(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


@pytest.fixture
def callers(monkeypatch: pytest.MonkeyPatch) -> Found[Contender | Blocking]:
    """Those that can be imported where nothing but the extra ``dev`` is installed."""
    for library, (_, module) in EXTRA.items():
        monkeypatch.setitem(sys.modules, library, None)
        monkeypatch.delitem(sys.modules, f"benchmarks.contenders.{module}", raising=False)
    return find(CALLERS)


def test_who_is_not_installed_is_missing_with_the_reason(callers: Found[Contender | Blocking]) -> None:
    assert list(callers.there) == [FLOOR, TUNED, "aiohttp, plain", OURS]
    for library, (name, _) in EXTRA.items():
        assert library in callers.missing[name]
        assert "python3 dev.py bench installs it" in callers.missing[name]


async def test_every_contender_is_measured_in_every_column(
    etcd: EtcdServer, callers: Found[Contender | Blocking]
) -> None:
    kinds = {**callers.there, "urllib": Urllib}
    measured, failed = await timing.measure(kinds, *at(etcd.url), rounds=1, seconds=0.001)
    assert failed == {}
    assert list(measured) == list(kinds)
    for row in measured.values():
        assert list(row) == list(timing.COLUMNS)
        for pairs in row.values():
            assert len(pairs) == 1
            assert over_floor(pairs, seconds).median > 0
            assert over_floor(pairs, cpu).median > 0


@pytest.mark.usefixtures("callers")
async def test_every_way_to_watch_is_measured(etcd: EtcdServer) -> None:
    found = find(WATCHERS)
    measured, failed = await watching.measure(found.there, *at(etcd.url), rounds=2, events=3)
    assert failed == {}
    assert list(found.missing) == ["python-aio-etcd"]
    assert list(measured) == list(found.there)
    for pairs in measured.values():
        assert len(pairs) == 2
        assert over_floor(pairs, cpu).median > 0


async def test_those_that_do_something_else_than_asked_are_told(
    etcd: EtcdServer, callers: Found[Contender | Blocking]
) -> None:
    kinds = {FLOOR: callers.there[FLOOR], "liar": Liar, "blind": Blind, "urllib": Urllib}
    measured, failed = await timing.measure(kinds, *at(etcd.url), rounds=1, seconds=0.001)
    assert list(measured) == [FLOOR, "urllib"]
    assert failed["liar"] == "AssertionError: a read brought 'something else' instead of 'eu-west-1'"
    assert "HTTP Error 412" in failed["blind"]


async def test_a_contender_that_can_not_be_opened_is_told(
    etcd: EtcdServer, callers: Found[Contender | Blocking]
) -> None:
    kinds = {FLOOR: callers.there[FLOOR], "shut": Shut}
    measured, failed = await timing.measure(kinds, *at(etcd.url), rounds=1, seconds=0.001)
    assert list(measured) == [FLOOR]
    assert failed == {"shut": "OSError: it does not open"}


@pytest.mark.parametrize("name", [FLOOR, TUNED, "aiohttp, plain", OURS])
async def test_as_many_connections_serve_as_there_are_workers(
    etcd: EtcdServer, callers: Found[Contender | Blocking], name: str
) -> None:
    """Else some would be measured with less at once than others."""
    async with (
        FaultProxy(etcd.url, delay=lambda seen: 0.05) as proxy,
        Running(callers.there[name], *at(proxy.url), workers=8) as running,
    ):
        for _ in range(2):
            await running.run("swap", lambda: range(2), at_once=8)
        assert len({seen.connection for seen in proxy.seen}) == 8


async def test_the_process_whose_instructions_are_counted_makes_so_many_calls(etcd: EtcdServer) -> None:
    async with FaultProxy(etcd.url) as proxy:
        await calls.main(OURS, *(str(part) for part in at(proxy.url)), "2", "4", "8")
    sent = Counter(seen.method for seen in proxy.seen)
    assert sent == {"GET": 2, "PUT": 4 + 8 + 3}  # a write before each kind brings the index for the swaps


async def test_each_call_of_the_mapper_is_measured(etcd: EtcdServer) -> None:
    measured, memory = await running.calls(*at(etcd.url), models=2, rounds=2, seconds=0.001)
    assert [goal.name for goal in measured] == [
        *("list, 2 models", "list, 20 models", "load"),
        *("save, 1 changed", "save, 3 changed", "save, 10 changed"),
    ]
    for pairs in measured.values():
        assert len(pairs) == 2
        assert over_floor(pairs, seconds).median > 0
    assert memory.listed > memory.bare > 0


async def test_saving_many_is_measured_and_leaves_no_new_ones_behind(etcd: EtcdServer, session: Session) -> None:
    measured = await running.many(*at(etcd.url), models=2, rounds=1)
    assert [goal.name for goal in measured] == [
        *("save_all, 2 new", "calls alone, new"),
        *("save_all, 2 changed", "calls alone, changed"),
    ]
    assert [len(pairs) for pairs in measured.values()] == [1, 1, 1, 1]
    assert await session.count(Few) == 2
    assert await session.list(New) == []


async def test_records_are_filled_in_as_a_save_leaves_them(etcd: EtcdServer, session: Session, client: Client) -> None:
    await fill(made(Few, 1), *at(etcd.url))
    filled = (await session.list(Few))[0]
    saved = await session.save(One.model_validate(values(0)))
    assert filled.model_dump() == saved.model_dump()
    plain = []
    for path in (Few.key(filled.name), One.key(saved.name)):
        leaves = (await client.read(path, recursive=True)).leaves
        keys = {leaf.key.removeprefix(f"{path}/"): leaf.value or "" for leaf in leaves}
        commit = Commit.from_text(keys.pop("@commit"))
        assert keys.pop("@applied") == commit.id
        assert commit.pending == keys
        plain.append(keys)
    assert plain[0] == plain[1]


async def test_the_floor_lists_and_saves_as_the_session_does(
    etcd: EtcdServer, session: Session, client: Client
) -> None:
    await fill(made(Few, 3), *at(etcd.url))
    http = Tuned()
    await http.open(*at(etcd.url))
    bare = await floors.list_all(http, work.directory(Few))
    await http.close()
    by_name = {model.name: model for model in bare}
    listed = await session.list(Few)
    assert {model.name: Fields.model_validate(model.model_dump()) for model in listed} == by_name
    before = {model.name: await indexes(client, Few.key(model.name)) for model in listed}
    for floor in await floors.BareSave.of_all(client, work.directory(Few), ["port", "replicas"]):
        await floor.save()
        await floor.save()
    assert await session.list(Few) == listed
    for name, were in before.items():
        now = await indexes(client, Few.key(name))
        assert {key for key in now if now[key] != were[key]} == {"@commit", "@applied", "port", "replicas"}
    (again, *_) = await session.list(Few)
    again.port = -1
    await session.save(again)
    assert await session.load(Few, again.name) == again


async def test_the_floor_makes_a_record_by_the_requests_of_a_save(etcd: EtcdServer) -> None:
    class Asked(Observer):
        def __init__(self) -> None:
            self.requests: Counter[str] = Counter()

        def request_started(self, call: Call, endpoint: str) -> None:
            self.requests[f"{call.method} {call.key.partition('/server-00000')[2]}"] += 1

    bare, own = Asked(), Asked()
    (model,) = made(Few, 1)
    new = New.model_validate(values(0))
    schema = schema_of(New)
    async with connect(etcd.url, observers=[own]) as session, Client(etcd.url, observers=[bare]) as client:
        await session.save(model)
        texts = schema.encode(new, document=False)
        await floors.BareSave.of_none(client, str(schema.path(new)), texts).create()
        assert (await session.load(New, new.name)).model_dump() == model.model_dump()
    own.requests["GET "] -= 1  # the load's
    assert bare.requests == own.requests
    assert bare.requests.total() == 26


async def test_what_is_limited_is_done_once_each_and_so_many_at_a_time() -> None:
    under_way = most = done = 0

    async def call() -> None:
        nonlocal under_way, most, done
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        done += 1

    await work.limited([call] * 7, 3)
    assert (most, done) == (3, 7)


async def test_a_listing_that_brings_something_else_is_told() -> None:
    async def listed() -> list[str]:
        return ["one"]

    with pytest.raises(AssertionError, match="1 models came instead of 2"):
        await work.once(listed(), 2)


def test_the_command_prints_a_table_of_each_kind() -> None:
    command = [sys.executable, "-m", "benchmarks", "--pairs", "1", "--seconds", "0.001", "--events", "3"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    for title in ("Time per call", "CPU time of the client", "Calls per second", "CPU time per event"):
        assert f"\n{title}" in ended.stdout
    for name in (*(entry.name for entry in CALLERS), *(entry.name for entry in WATCHERS)):
        assert f"\n{name}" in ended.stdout


def test_the_command_of_the_mapper_prints_what_it_has_measured() -> None:
    few = ("--pairs", "1", "--seconds", "0.001", "--models", "2", "--rounds", "1")
    command = [sys.executable, "-m", "benchmarks.mapper", *few]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "\nA listed model holds" in ended.stdout
    for where in ("in memory", "on a disk"):
        assert f"\nCalls of a session, as multiples of what they can't do without; etcd {where}\n" in ended.stdout
    for where in ("in memory", "on a disk", "on a disk, and 1 ms away", "on a disk, and 5 ms away"):
        assert f"\nSaving one after the other, as a multiple of save_all; etcd {where}\n" in ended.stdout


def test_the_command_refuses_what_can_not_be_measured() -> None:
    command = [sys.executable, "-m", "benchmarks", "--events", "901"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "events up to 900" in ended.stderr


async def test_hand_overs_and_kept_records_are_measured(etcd: EtcdServer) -> None:
    found = await hand_over(etcd.url, 3)
    assert len(found.seconds) == 3
    kept = await keeping(etcd.url, 20, 3, 1.0)
    assert (kept.leases, kept.lost) == (20, 0)
    assert 0 < kept.busiest <= kept.refreshes


@pytest.mark.parametrize("layout", KINDS)
async def test_a_change_is_timed_at_every_kind_of_watcher(etcd: EtcdServer, layout: Layout) -> None:
    found = await arrival.arrivals(etcd.url, layout, rounds=2, changes=3)
    assert list(found) == ["typed", "bare", "floor"]
    for way in found.values():
        assert len(way.seconds) == 6
        assert 0 < min(way.seconds) <= way.median <= way.p99 <= max(way.seconds)


@pytest.mark.parametrize("layout", KINDS)
async def test_what_is_watched_is_a_save_of_one_field_of_ten(etcd: EtcdServer, layout: Layout) -> None:
    async with connect(etcd.url) as session:
        change = await saves(session, layout)
        async with session.watch(KINDS[layout]) as changes:
            created = await anext(changes)
            await change("turn-7")
            changed = await anext(changes)
    assert isinstance(created, Created)
    assert len(type(created.new).model_fields) == 11  # with the key
    assert isinstance(changed, Updated)
    assert (changed.fields, changed.new.owner) == (("owner",), "turn-7")


@pytest.mark.parametrize("layout", KINDS)
async def test_a_process_holds_as_many_models_as_it_measures(etcd: EtcdServer, layout: Layout) -> None:
    await fill((server(layout, number) for number in range(30)), *at(etcd.url))
    async with connect(etcd.url) as session:
        assert [model.name for model in await session.list(KINDS[layout])] == [f"server-{n:05}" for n in range(30)]
    for way in WAYS:
        async with holding(etcd.url, 30, layout, way) as models:
            assert {name: model.model_dump() for name, model in models.items()} == {
                (model := server(layout, number)).name: model.model_dump() for number in range(30)
            }


async def test_the_memory_of_a_table_is_measured_beside_that_of_its_models(etcd: EtcdServer) -> None:
    await fill((server("directory", number) for number in range(100)), *at(etcd.url))
    taken = await tables.held(etcd.url, "directory", 100, "traced")
    assert list(taken) == list(WAYS)
    assert 0 < taken["made"] < taken["table"]


async def test_a_table_with_records_missing_is_not_measured(etcd: EtcdServer) -> None:
    await fill([server("document", 0)], *at(etcd.url))
    with pytest.raises(RuntimeError, match="1 models instead of 2"):
        await tables.held(etcd.url, "document", 2, "resident")


def test_the_command_of_coordination_prints_each_part_that_is_asked_for() -> None:
    few = ("--only", "watches", "--rounds", "1", "--changes", "2")
    command = [sys.executable, "-m", "benchmarks.coordination", *few]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    for layout in KINDS:
        assert f"2 changes of one field of ten, {layout}" in ended.stdout
        assert "goal: 1.5 at most" in ended.stdout
    for other in ("hand-over", "with a TTL", "memory"):
        assert other not in ended.stdout


class Urllib:
    """A client that blocks, out of the standard library."""

    def open(self, host: str, port: int) -> None:
        self.keys = f"http://{host}:{port}/v2/keys"

    def close(self) -> None:
        """It holds nothing."""

    def read(self, key: str) -> str:
        return self._ask(key)[0]

    def write(self, key: str, value: str) -> int:
        return self._ask(key, value=value)[1]

    def swap(self, key: str, value: str, index: int) -> int:
        return self._ask(key, value=value, prevIndex=str(index))[1]

    def _ask(self, key: str, **form: str) -> tuple[str, int]:
        data = urlencode(form).encode() or None
        request = urllib.request.Request(self.keys + key, data, method="PUT" if data else "GET")
        with urllib.request.urlopen(request, timeout=10) as response:
            node = json.load(response)["node"]
        return node["value"], node["modifiedIndex"]


class Blind(Urllib):
    def swap(self, key: str, value: str, index: int) -> int:
        return super().swap(key, value, index + 1)


class Liar(Floor):
    async def read(self, key: str) -> str:
        await super().read(key)
        return "something else"


class Shut(Floor):
    async def open(self, host: str, port: int) -> None:
        raise OSError("it does not open")
