"""EtcdServer with real processes."""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from etcdorm.embedded import guard, server
from etcdorm.embedded.guard import Guard
from etcdorm.embedded.probe import free_ports
from etcdorm.errors import ServerError, UsageError
from etcdorm.testing import EtcdBinary, EtcdServer
from tests.support.ports import held_ports


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary directories are made in these tests, so that one left behind is seen."""
    directory = tmp_path / "scratch"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


@pytest.fixture
def guards(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Guard]]:
    """Every guard that is made; all have ended when the test ends."""
    made: list[Guard] = []

    class Recorded(Guard):
        def _read_pid(self) -> int:
            made.append(self)
            return super()._read_pid()

    monkeypatch.setattr(server, "Guard", Recorded)
    yield made
    assert [one.status for one in made if one.status is None] == []


def request(url: str, method: str, target: str, body: str | None = None, *, timeout: float = 10) -> tuple[int, str]:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout)) as connection:
        connection.request(method, f"/v2/keys{target}", body, headers)
        response = connection.getresponse()
        return response.status, response.read().decode()


def put(url: str) -> None:
    assert request(url, "PUT", "/greeting", "value=hello")[0] in (200, 201)


def holds(url: str) -> bool:
    status, body = request(url, "GET", "/greeting")
    return status == 200 and '"value":"hello"' in body


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


# -- a life --------------------------------------------------------------------------------------------------------


async def test_it_serves_v2_on_the_loopback_and_leaves_nothing_behind(etcd_binary: EtcdBinary, scratch: Path) -> None:
    async with EtcdServer(binary=etcd_binary) as etcd:
        assert etcd.url.startswith("http://127.0.0.1:")
        assert etcd.binary == etcd_binary
        assert etcd.data_dir.is_relative_to(scratch)
        assert etcd.log_path.exists()
        put(etcd.url)
        assert holds(etcd.url)
        pid = etcd.pid
    assert not exists(pid)
    assert list(scratch.iterdir()) == []


def test_it_works_without_asyncio(etcd_binary: EtcdBinary, scratch: Path) -> None:
    with EtcdServer(binary=etcd_binary) as etcd:
        put(etcd.url)
        pid = etcd.pid
    assert not exists(pid)
    assert list(scratch.iterdir()) == []


def test_making_one_does_nothing(tmp_path: Path, scratch: Path, guards: list[Guard]) -> None:
    EtcdServer(data_dir=tmp_path / "data", binary="/no/such/etcd")
    assert not (tmp_path / "data").exists()
    assert list(scratch.iterdir()) == []
    assert guards == []


def test_the_loop_is_not_blocked_while_it_starts() -> None:
    async def main() -> int:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.005)
                ticks += 1

        ticking = asyncio.create_task(tick())
        async with EtcdServer():
            ticking.cancel()
        return ticks

    assert asyncio.run(main()) >= 5


def test_stop_may_be_called_twice_and_before_start() -> None:
    etcd = EtcdServer()
    etcd.stop()
    etcd.start()
    etcd.stop()
    etcd.stop()
    assert not etcd.running


def test_it_can_be_started_again_after_stop() -> None:
    etcd = EtcdServer()
    for _ in range(2):
        with etcd:
            assert etcd.running


def test_starting_a_started_one_is_refused_and_leaves_it_running() -> None:
    with EtcdServer() as etcd:
        with pytest.raises(UsageError, match="started already"):
            etcd.start()
        assert etcd.running


@pytest.mark.parametrize("name", ["url", "pid", "binary", "data_dir", "log_path"])
def test_what_it_is_can_only_be_asked_once_it_is_started(name: str) -> None:
    with pytest.raises(UsageError, match="not started"):
        getattr(EtcdServer(), name)


def test_a_terminal_interrupt_does_not_reach_it() -> None:
    with EtcdServer() as etcd:
        assert os.getpgid(etcd.pid) != os.getpgid(0)
        assert os.getsid(etcd.pid) != os.getsid(0)


# -- data ----------------------------------------------------------------------------------------------------------


def test_a_given_data_dir_is_made_and_kept_with_its_data_and_log(etcd_binary: EtcdBinary, tmp_path: Path) -> None:
    data_dir = tmp_path / "a place" / "with space"
    with EtcdServer(binary=etcd_binary, data_dir=data_dir) as etcd:
        put(etcd.url)
    assert etcd.log_path.exists()
    with EtcdServer(binary=etcd_binary, data_dir=str(data_dir)) as again:
        assert holds(again.url)


@pytest.mark.parametrize("other", [{}, {"name": "somebody"}])
def test_a_data_dir_may_change_from_one_server_name_to_another(other: dict[str, str], tmp_path: Path) -> None:
    with EtcdServer(data_dir=tmp_path / "data", name="first") as etcd:
        put(etcd.url)
    with EtcdServer(data_dir=tmp_path / "data", name=other.get("name")) as etcd:
        assert holds(etcd.url)


def test_a_data_dir_in_use_is_an_error_and_not_a_wait(
    etcd_binary: EtcdBinary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_LOCK_PATIENCE", 0.1)
    with EtcdServer(binary=etcd_binary, data_dir=tmp_path / "data") as etcd:
        put(etcd.url)
        with pytest.raises(ServerError, match="another etcd is running on"):
            EtcdServer(binary=etcd_binary, data_dir=tmp_path / "data").start()
        assert holds(etcd.url)


def test_a_data_dir_that_another_server_took_at_the_same_moment_is_an_error(
    etcd_binary: EtcdBinary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EtcdServer(binary=etcd_binary, data_dir=tmp_path / "data"):
        monkeypatch.setattr(EtcdServer, "_wait_for_lock", lambda self: None)
        late = EtcdServer(binary=etcd_binary, data_dir=tmp_path / "data", start_timeout=0.5)
        with pytest.raises(ServerError, match="another etcd is running on"):
            late.start()


def test_a_data_dir_that_can_not_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ServerError, match="can't be made a data directory: Not a directory"):
        EtcdServer(data_dir=tmp_path / "file" / "data").start()


def test_a_data_dir_without_room_for_the_log_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "data" / "etcd.log").mkdir(parents=True)
    with pytest.raises(ServerError, match="can't be started with its log at"):
        EtcdServer(data_dir=tmp_path / "data").start()


# -- faults --------------------------------------------------------------------------------------------------------


def test_it_comes_back_from_a_kill_on_the_same_url_with_its_data(etcd_binary: EtcdBinary) -> None:
    with EtcdServer(binary=etcd_binary) as etcd:
        put(etcd.url)
        url, pid = etcd.url, etcd.pid
        etcd.kill()
        assert urlsplit(url).port in held_ports() or sys.platform != "linux"  # nobody else is given it meanwhile
        assert not etcd.running
        assert not exists(pid)
        etcd.restart()
        assert etcd.url == url
        assert etcd.pid != pid
        assert holds(etcd.url)


def test_restart_stops_a_running_one_first(etcd_binary: EtcdBinary) -> None:
    with EtcdServer(binary=etcd_binary) as etcd:
        put(etcd.url)
        pid = etcd.pid
        etcd.restart()
        assert not exists(pid)
        assert holds(etcd.url)


def test_a_paused_one_answers_nothing_until_it_is_resumed(etcd_binary: EtcdBinary) -> None:
    with EtcdServer(binary=etcd_binary) as etcd:
        put(etcd.url)
        etcd.pause()
        with pytest.raises(TimeoutError):
            request(etcd.url, "GET", "/greeting", timeout=0.2)
        etcd.resume()
        assert holds(etcd.url)


def test_a_paused_one_stops_at_once() -> None:
    with EtcdServer() as etcd:
        etcd.pause()
        begun = time.monotonic()
        etcd.stop()
    assert time.monotonic() - begun < 3


def test_an_open_watch_does_not_hold_up_the_stop(etcd_binary: EtcdBinary) -> None:
    with EtcdServer(binary=etcd_binary) as etcd:
        with socket.create_connection(("127.0.0.1", urlsplit(etcd.url).port or 0)) as watch:
            watch.sendall(b"GET /v2/keys/?wait=true&recursive=true HTTP/1.1\r\nHost: etcd\r\n\r\n")
            watch.recv(1)
            begun = time.monotonic()
            etcd.stop()
        assert time.monotonic() - begun < 4


def test_a_port_that_is_taken_between_choosing_and_listening_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with EtcdServer() as first:
        taken = urlsplit(first.url).port or 0
        answers = iter([[taken, *free_ports(1)], [*free_ports(1), taken]])
        monkeypatch.setattr(server, "free_ports", lambda count: next(answers, None) or free_ports(count))
        with EtcdServer() as second:
            put(second.url)
            assert second.url != first.url
            assert not holds(first.url)


def test_ports_that_are_always_taken_end_in_an_error(monkeypatch: pytest.MonkeyPatch, scratch: Path) -> None:
    with EtcdServer() as first:
        taken = urlsplit(first.url).port or 0
        monkeypatch.setattr(server, "free_ports", lambda count: [taken, *free_ports(1)])
        with pytest.raises(ServerError, match="address already in use"):
            EtcdServer().start()
        assert [first.data_dir.parent] == list(scratch.iterdir())


# -- a start that fails --------------------------------------------------------------------------------------------


def test_an_etcd_that_ends_is_an_error_with_its_command_and_its_log(
    etcd_binary: EtcdBinary, scratch: Path, guards: list[Guard]
) -> None:
    with pytest.raises(ServerError) as caught:
        EtcdServer(binary=etcd_binary, extra_args=["--no-such-flag"]).start()
    words = str(caught.value)
    assert "instead of serving" in words
    assert str(etcd_binary.path) in words
    assert "flag provided but not defined: -no-such-flag" in words
    assert len(guards) == 1
    assert list(scratch.iterdir()) == []


def test_an_etcd_without_v2_is_told_as_such(etcd_binary: EtcdBinary) -> None:
    with pytest.raises(ServerError, match="serves without the v2 API; it needs --enable-v2"):
        EtcdServer(binary=etcd_binary, extra_args=["--enable-v2=false"]).start()


def test_an_etcd_that_never_serves_is_an_error_in_time(tmp_path: Path, scratch: Path, guards: list[Guard]) -> None:
    mute = tmp_path / "etcd"
    mute.write_text('#!/bin/sh\n[ "$1" != --version ] || exec echo "etcd Version: 3.5.99"\nexec sleep 60\n')
    mute.chmod(0o755)
    with pytest.raises(ServerError, match=r"did not serve within 0\.2 s"):
        EtcdServer(binary=mute, start_timeout=0.2).start()
    assert len(guards) == 1
    assert list(scratch.iterdir()) == []


async def test_a_binary_that_will_not_do_is_an_error_before_anything_is_made(
    tmp_path: Path, guards: list[Guard]
) -> None:
    with pytest.raises(ServerError, match="does not exist"):
        async with EtcdServer(binary=tmp_path / "nothing", data_dir=tmp_path / "data"):
            pass
    assert not (tmp_path / "data").exists()
    assert guards == []


def test_settings_for_another_etcd_in_the_environment_are_ignored(
    etcd_binary: EtcdBinary, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ETCD_NAME", "other")
    monkeypatch.setenv("ETCD_DATA_DIR", str(tmp_path / "other"))
    monkeypatch.setenv("ETCD_LISTEN_METRICS_URLS", "nonsense")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with EtcdServer(binary=etcd_binary) as etcd:
        put(etcd.url)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("after", [0.0, 0.005, 0.02, 0.05, 0.08, 0.12])
async def test_a_cancelled_start_leaves_no_process_and_no_directory(
    after: float, scratch: Path, guards: list[Guard]
) -> None:
    async def live() -> None:
        async with EtcdServer():
            await asyncio.sleep(60)

    life = asyncio.create_task(live())
    await asyncio.sleep(after)
    life.cancel()
    with pytest.raises(asyncio.CancelledError):
        await life
    assert list(scratch.iterdir()) == []
    assert [one for one in guards if one.status is None] == []


async def test_a_cancelled_stop_still_stops(scratch: Path, guards: list[Guard]) -> None:
    etcd = await EtcdServer().__aenter__()
    end = asyncio.create_task(etcd.__aexit__(None, None, None))
    await asyncio.sleep(0)
    end.cancel()
    with pytest.raises(asyncio.CancelledError):
        await end
    assert len(guards) == 1
    assert list(scratch.iterdir()) == []


# -- never outliving its parent ------------------------------------------------------------------------------------

PARENT = """
import sys, tempfile, time
from etcdorm.testing import EtcdServer
tempfile.tempdir = sys.argv[1]
etcd = EtcdServer()
etcd.start()
print(etcd.pid, etcd.url, flush=True)
{then}
"""


def parent(scratch: Path, then: str) -> tuple[subprocess.Popen[str], int, str]:
    """Another Python process with an EtcdServer in it."""
    program = [sys.executable, "-W", "ignore", "-c", PARENT.format(then=then), str(scratch)]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as stdout:
        pid, url = stdout.readline().split()
    return process, int(pid), url


def test_it_ends_with_its_temporary_directory_when_its_parent_is_killed(scratch: Path) -> None:
    process, pid, url = parent(scratch, "time.sleep(60)")
    put(url)
    process.kill()
    process.wait()
    wait_for(lambda: not exists(pid))
    wait_for(lambda: not list(scratch.iterdir()))


def test_it_ends_when_its_parent_is_killed_while_it_is_paused(scratch: Path) -> None:
    process, pid, _ = parent(scratch, "etcd.pause(); time.sleep(60)")
    process.kill()
    process.wait()
    wait_for(lambda: not exists(pid))


def test_it_ends_when_its_parent_ends_without_stopping_it(scratch: Path) -> None:
    process, pid, _ = parent(scratch, "")
    assert process.wait(10) == 0
    wait_for(lambda: not exists(pid))
    wait_for(lambda: not list(scratch.iterdir()))


def test_it_ends_when_its_parent_ends_in_a_thread_that_did_not_start_it(scratch: Path) -> None:
    then = "import threading; threading.Thread(target=lambda: __import__('os')._exit(3)).start(); time.sleep(60)"
    process, pid, _ = parent(scratch, then)
    assert process.wait(10) == 3
    wait_for(lambda: not exists(pid))


def test_it_ends_although_the_guard_itself_was_killed(scratch: Path) -> None:
    process, pid, _ = parent(
        scratch, "import os, signal; os.kill(etcd._guard._shell.pid, signal.SIGKILL); time.sleep(60)"
    )
    process.kill()
    process.wait()
    wait_for(lambda: not exists(pid))


def test_one_that_is_forgotten_ends_with_a_resource_warning(scratch: Path) -> None:
    forgotten = [EtcdServer()]
    forgotten[0].start()
    pid = forgotten[0].pid
    with pytest.warns(ResourceWarning):
        forgotten.clear()
    wait_for(lambda: not exists(pid))
    wait_for(lambda: not list(scratch.iterdir()))


def test_stop_ends_also_when_the_guard_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_SLACK", 0.0)
    with EtcdServer() as etcd:
        pid = etcd.pid
        assert etcd._guard is not None
        os.killpg(etcd._guard._shell.pid, signal.SIGSTOP)
        etcd.stop()
    wait_for(lambda: not exists(pid))
