"""Live values: the newest valid state of a record, whatever is written there."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel

from etcdorm import DecodeError, EtcdModel, NotFoundError, Session, UnavailableError, UsageError, after_load
from etcdorm.path import Path
from tests.support.memory_etcd import MemoryEtcd
from tests.support.memory_store import MemoryStore
from tests.support.virtual import virtual

WEB = Path.parse("/configs/web")


class Limits(BaseModel):
    cpu: int = 1


class Config(EtcdModel, path="/configs/{name}"):
    name: str
    port: int = 80
    limits: Limits = Limits()
    labels: dict[str, str] = {}
    hosts: list[str] = []


class Checked(EtcdModel, path="/checked/{name}"):
    name: str
    port: int = 80

    @after_load
    async def check(self) -> None:
        await asyncio.sleep(1)
        if self.port == 13:
            raise ValueError("an unlucky port")


def port_of(config: Config) -> int:
    return config.port


async def set_port(session: Session, port: int, **more: object) -> None:
    await session.save(Config.model_validate({"name": "web", "port": port, **more}), on_conflict="overwrite")


@virtual
async def test_the_value_follows_every_save() -> None:
    async with Session(MemoryStore()) as session:
        await set_port(session, 1)
        async with session.live(Config, "web") as live:
            assert (live.value, live.ready, live.stale, live.error) == (Config(name="web", port=1), True, False, None)
            for port in (2, 3):
                saved = await session.save(Config(name="web", port=port), on_conflict="overwrite")
                await live.reach(saved)
                assert live.value == saved
                assert live.value.etcd is not None
                assert live.value.etcd.version == live.version


@virtual
async def test_a_bad_edit_keeps_the_last_good_value_and_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    etcd = MemoryEtcd()
    async with Session(MemoryStore(etcd)) as session, session.live(Config, "web") as live:
        await set_port(session, 1)
        etcd.edit(WEB, {"port": "secret"})
        await live.until(lambda: live.error is not None)
        assert live.value.port == 1
        assert isinstance(live.error, DecodeError)
        assert [failure.field for failure in live.error.failures] == ["port"]
        assert "/configs/web/port (field port)" in caplog.text
        assert "secret" not in caplog.text
        etcd.edit(WEB, {"port": "2"})
        await live.until(lambda: live.error is None)
        assert live.value.port == 2


@virtual
async def test_where_there_never_was_a_valid_value_the_error_is_raised() -> None:
    etcd = MemoryEtcd()
    async with Session(MemoryStore(etcd)) as session:
        await set_port(session, 1)
        etcd.edit(WEB, {"port": "many"})
        async with session.live(Config, "web") as live:
            with pytest.raises(DecodeError, match="port"):
                _ = live.value
            assert live.get() is None
        async with session.live(Config, "web", default=Config(name="web", port=9)) as live:
            assert live.value.port == 9
            assert live.error is not None


@virtual
async def test_what_an_after_load_hook_raises_is_a_bad_edit_too() -> None:
    async with Session(MemoryStore()) as session:
        checked = await session.save(Checked(name="c1"))
        async with session.live(Checked, "c1") as live:
            checked.port = 13
            await live.reach(await session.save(checked))
            assert live.value.port == 80
            assert isinstance(live.error, ValueError)


@virtual
async def test_a_record_that_is_gone_has_no_value() -> None:
    async with Session(MemoryStore()) as session, session.live(Config, name="web") as live:
        with pytest.raises(NotFoundError, match="/configs/web: there is no Config"):
            _ = live.value
        await session.save(Config(name="web"), ttl=5)
        await live.until(lambda: live.get() is not None)
        await live.until(lambda: live.get() is None)
        assert live.error is None


@virtual
async def test_a_default_is_the_value_while_there_is_no_record() -> None:
    default = Config(name="web", port=9)
    async with Session(MemoryStore()) as session, session.live(Config, "web", default=default) as live:
        default.port = 10
        assert live.value.port == 9
        with pytest.raises(UsageError, match="can't be changed"):
            live.value.port = 1
        await set_port(session, 1)
        await live.until(lambda: live.value.port == 1)


@virtual
async def test_a_value_can_not_be_changed_and_a_copy_of_it_can() -> None:
    async with Session(MemoryStore()) as session:
        await set_port(session, 1, labels={"a": "1"}, hosts=["h"])
        async with session.live(Config, "web") as live:
            value = live.value

            def assign() -> None:
                value.port = 2

            def assign_within() -> None:
                value.limits.cpu = 2

            for change in (assign, assign_within, lambda: value.labels.clear(), lambda: value.hosts.append("x")):
                with pytest.raises(UsageError, match=r"can't be changed; .*session\.update, or a copy"):
                    change()
            copied = value.model_copy(deep=True)
            copied.port, copied.limits.cpu = 2, 2
            copied.labels["b"] = "2"
            copied.hosts.append("x")
            saved = await session.save(copied)
            await live.reach(saved)
            assert live.value == saved
            assert value == Config(name="web", port=1, labels={"a": "1"}, hosts=["h"])


@virtual
async def test_a_value_is_not_saved_but_may_be_deleted() -> None:
    async with Session(MemoryStore()) as session:
        await set_port(session, 1)
        async with session.live(Config, "web") as live:
            for call in (session.save, session.reload, session.refresh):
                with pytest.raises(UsageError, match="is a value of session"):
                    await call(live.value)
            await session.update(Config, "web", lambda config: setattr(config, "port", 2))
            await live.until(lambda: live.value.port == 2)
            await session.delete(live.value)
            await live.until(lambda: live.get() is None)


@virtual
async def test_an_iteration_brings_the_newest_value_each_time() -> None:
    async with Session(MemoryStore()) as session:
        await set_port(session, 0)
        async with session.live(Config, "web") as live:
            ports: list[int] = []

            async def read() -> None:
                async for value in live:
                    ports.append(value.port)
                    await asyncio.sleep(10)

            reading = asyncio.create_task(read())
            for port in range(1, 30):
                await asyncio.sleep(1)
                await set_port(session, port)
            await asyncio.sleep(20)
        await reading
        assert ports[0] == 0
        assert ports[-1] == 29
        assert len(ports) <= 5
        assert ports == sorted(set(ports))


@virtual
async def test_a_callback_is_called_with_both_values() -> None:
    calls: list[tuple[Config | None, Config | None]] = []
    async with Session(MemoryStore()) as session, session.live(Config, "web") as live:
        live.on_change(lambda old, new: calls.append((old, new)))
        await set_port(session, 1)
        await asyncio.sleep(1)
        await set_port(session, 2)
        await asyncio.sleep(1)
        await session.delete(await session.load(Config, "web"))
        await asyncio.sleep(1)
    first, second = Config(name="web", port=1), Config(name="web", port=2)
    assert calls == [(None, first), (first, second), (second, None)]


@virtual
async def test_a_callback_for_fields_is_called_when_one_of_them_differs() -> None:
    ports: list[object] = []
    labels: list[object] = []
    async with Session(MemoryStore()) as session:
        await set_port(session, 1)
        async with session.live(Config, "web") as live:
            live.on_change(lambda old, new: ports.append(new and new.port), fields=("port", "limits"))
            live.on_change(lambda old, new: labels.append(new and dict(new.labels)), fields="labels.a")
            for more in ({}, {"labels": {"b": "1"}}, {"labels": {"a": "1"}}, {"limits": {"cpu": 2}}):
                await set_port(session, 1, **more)
                await asyncio.sleep(1)
            await set_port(session, 2)
            await asyncio.sleep(1)
    assert ports == [1, 2]
    assert labels == [{"a": "1"}, {}]


@virtual
async def test_a_callback_waits_until_the_edits_are_over() -> None:
    calls: list[tuple[float, int, int]] = []
    time = asyncio.get_running_loop().time
    async with Session(MemoryStore()) as session:
        config = await session.save(Config(name="web", port=0))
        async with session.live(Config, "web") as live:

            async def note(old: Config | None, new: Config | None) -> None:
                assert old is not None
                assert new is not None
                calls.append((time(), old.port, new.port))

            live.on_change(note, fields=("port",), debounce=2.0)
            for port in (1, 2, 3):
                await asyncio.sleep(1)
                config.port = port
                await session.save(config)
            await asyncio.sleep(10)
            for port in (4, 3):  # and back again: no change at all
                config.port = port
                await session.save(config)
            await asyncio.sleep(10)
    assert calls == [(5.0, 0, 3)]


@virtual
async def test_a_callback_does_not_wait_for_ever_while_edits_go_on() -> None:
    calls: list[float] = []
    time = asyncio.get_running_loop().time
    async with Session(MemoryStore()) as session, session.live(Config, "web") as live:
        live.on_change(lambda old, new: calls.append(time()), debounce=2.0)
        config = Config(name="web")
        for port in range(50):
            config.port = port
            await session.save(config)
            await asyncio.sleep(1)
    assert calls == [20.0, 40.0]


@virtual
async def test_an_error_in_a_callback_is_logged_and_the_next_change_calls_it_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[int] = []

    def fail(old: Config | None, new: Config | None) -> None:
        assert new is not None
        calls.append(new.port)
        raise ValueError("a callback's own fault")

    async with Session(MemoryStore()) as session, session.live(Config, "web") as live:
        live.on_change(fail)
        for port in (1, 2):
            await set_port(session, port)
            await asyncio.sleep(1)
        assert live.value.port == 2
    assert calls == [1, 2]
    assert caplog.text.count("/configs/web: an on_change callback failed") == 2


@virtual
async def test_a_callback_ends_when_it_is_told_to_and_with_its_block() -> None:
    calls: list[int] = []
    cancelled: list[bool] = []
    async with Session(MemoryStore()) as session:
        async with session.live(Config, "web") as live:

            async def long(old: Config | None, new: Config | None) -> None:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    cancelled.append(True)
                    raise

            stop = live.on_change(lambda old, new: calls.append(1))
            once: list[object] = []

            def only_once(old: Config | None, new: Config | None) -> None:
                once.append(new)
                end()

            end = live.on_change(only_once)
            live.on_change(long)
            await set_port(session, 1)
            await asyncio.sleep(1)
            stop()
            stop()
            await set_port(session, 2)
            await asyncio.sleep(1)
        assert (calls, len(once), cancelled) == ([1], 1, [True])
        with pytest.raises(UsageError, match="within the block"):
            live.on_change(lambda old, new: None)
    assert [task.get_name() for task in asyncio.all_tasks() if "etcdorm" in task.get_name()] == []


@virtual
async def test_a_misspelt_field_is_refused() -> None:
    async with Session(MemoryStore()) as session, session.live(Config, "web") as live:
        with pytest.raises(UsageError, match="Config has no field 'prt'"):
            live.on_change(lambda old, new: None, fields=("prt",))


@virtual
async def test_without_etcd_there_is_no_beginning() -> None:
    store = MemoryStore(timeout=4)
    store.etcd.stop()
    async with Session(store) as session:
        with pytest.raises(UnavailableError):
            await session.live(Config, "web").__aenter__()
        assert asyncio.get_running_loop().time() == 4
        assert [task.get_name() for task in asyncio.all_tasks() if "etcdorm" in task.get_name()] == []


@virtual
async def test_it_is_stale_while_etcd_is_away_and_comes_back_by_itself() -> None:
    store = MemoryStore()
    async with Session(store) as session, session.live(Config, "web") as live:
        await set_port(session, 1)
        await live.until(lambda: live.get() is not None)
        assert not live.stale
        store.etcd.stop()
        assert live.stale
        assert live.value.port == 1
        store.etcd.start()
        await set_port(session, 2)
        await live.until(lambda: live.value.port == 2)
        assert not live.stale


@virtual
async def test_it_goes_on_when_the_store_has_refused_to(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    async with Session(store) as session, session.live(Config, "web") as live:
        store.refuse(UnavailableError("not now"))
        await asyncio.sleep(0)
        await set_port(session, 1)
        await live.until(lambda: live.get() is not None)
        assert "/configs/web: what is shown may be old: not now; trying on" in caplog.text


@virtual
async def test_who_waits_for_what_does_not_come_is_told_where_it_stands() -> None:
    async with Session(MemoryStore(), timeout=5) as session, session.live(Config, "web") as live:
        with pytest.raises(UnavailableError, match=r"version 99 was not come to within 5 s; it stands at version 3"):
            await live.reach(99)
        with pytest.raises(UsageError, match="was never saved"):
            await live.reach(Config(name="web"))


@virtual
async def test_a_value_can_be_read_when_its_block_is_over_but_not_before_it_began() -> None:
    async with Session(MemoryStore()) as session:
        await set_port(session, 1)
        live = session.live(Config, "web")
        with pytest.raises(UsageError, match="entered first"):
            _ = live.value
        async with live:
            waiting = asyncio.create_task(live.reach(10**6))
            await asyncio.sleep(1)
        assert (live.value.port, live.stale) == (1, True)
        with pytest.raises(UnavailableError, match="its block was left"):
            await waiting
        with pytest.raises(UsageError, match="entered before"):
            await live.__aenter__()


@virtual
async def test_who_gives_up_while_it_is_entered_or_left_leaves_nothing_behind() -> None:
    store = MemoryStore(latency=2)
    async with Session(store) as session:
        for seconds in (0.5, 1.5):
            entering = asyncio.create_task(session.live(Config, "web").__aenter__())
            await asyncio.sleep(seconds)
            entering.cancel()
            await asyncio.wait([entering])
            assert entering.cancelled()
        live = await session.live(Config, "web").__aenter__()
        leaving = asyncio.create_task(live.__aexit__(None, None, None))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait([leaving])
        assert not store.etcd.listeners
        assert [task.get_name() for task in asyncio.all_tasks() if "etcdorm" in task.get_name()] == []
