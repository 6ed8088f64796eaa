"""Every program in examples/, run as a user would run it, on each etcd there is."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from etcdorm.embedded.binary import VARIABLE
from etcdorm.testing import EtcdBinary, EtcdServer
from etcdorm.v2 import Client
from examples.tour import STEPS, Screen, code_of, words_of

ROOT = Path(__file__).parents[1]

# Lines that have to come, in this order; each is a part of one line of the output.
SHOWN: Mapping[str, tuple[str, ...]] = {
    "quickstart.py": (
        "saved at /quickstart/eu/nodes/n1",
        "loaded: dc='eu' name='n1' host='10.0.0.1' port=9090 labels={'zone': 'a'}",
        "get gives None",
        "NotFoundError: /quickstart/eu/nodes/n2",
        "AlreadyExistsError: /quickstart/eu/nodes/n1",
        "all: [('eu', 'n1'), ('eu', 'n2'), ('us', 'n1')]",
        "in us: ['n1']",
        "ConflictError, and nothing was written; in etcd there is dc='eu' name='n1' host='10.0.0.8' port=9090",
        "reloaded: 10.0.0.8 9090",
        "updated: dc='eu' name='n1' host='10.0.0.8' port=7070",
        "events in their order: ['boot', 'ready']",
        "n3 expires in 60 s",
        "left: 0",
    ),
    "service_registry.py": (
        "+ web-1 at 10.0.0.1:80",
        "+ web-2 at 10.0.0.2:80",
        "web-2 crashes",
        "! web-2 expired",
        "still there: ['web-1']",
        "- web-1 has signed off",
    ),
    "live_proxy.py": (
        "backends: ['10.0.0.1', '10.0.0.2']",
        "backends: ['10.0.0.1', '10.0.0.1', '10.0.0.1', '10.0.0.2']",
        "timeout 5.0 -> 2.5, attempts 2 -> 2",
        "timeout is still 2.5: /proxies/web/config/timeout (field timeout): Input should be greater than 0",
        "etcd is away, and the proxy starts again:",
        "timeout 2.5, stale: True",
    ),
    "typed_config.py": (
        "/config/web/database/pool/patience PT5S",
        "/config/web/level                  info",
        '/config/web/origins                ["https://a","https://b"]',
        "edited by another tool: <Level.DEBUG: 'debug'>, Pool(size=25,",
        "edited badly: /config/web does not hold a valid Config:",
        "/config/web/database/port (field database.port):",
        "/config/web/features/search (field features.search):",
        "reloads after 5 concurrent updates: 5",
    ),
    "tour.py": (
        "+   host          10.0.0.1",
        "~   port          9090",
        "ConflictError: /tour/nodes/n1: another save changed port",
        "A writer dies half way through a save",
        "the writer was ended by SIGKILL",
        '"pending":{"host":"10.0.0.3","port":"7070","labels/zone":"b"}}',
        "    host          10.0.0.2",
        "    port          9091",
        "A reader sees all of that save nevertheless",
        "> name='n1' host='10.0.0.3' port=7070 labels={'zone': 'b'}",
        "~   host          10.0.0.3",
        "(expires in ",
        "> Expired /tour/nodes/n2",
        '{"kind":"ready"}',
        "second holder: has the lock, token",
        "first holder:  LockLostError:",
        "first holder:  ConflictError:",
        '"fence":',
        "> Updated(path='/tour/nodes/n1',",
        "/tour/nodes/n1/port (field port):",
        "-   @commit",
        "That was all of it",
    ),
}


def start(name: str, binary: EtcdBinary, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(ROOT / "examples" / name), *arguments],
        env={**os.environ, VARIABLE: str(binary.path), "PYTHONPATH": str(ROOT), "COLUMNS": "90"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class Runs:
    """Examples under way. They mostly wait, so all of them run at the same time, each on an etcd of its own."""

    def __init__(self) -> None:
        self._running: dict[tuple[str, EtcdBinary], subprocess.Popen[str]] = {}

    def get(self, name: str, binary: EtcdBinary) -> subprocess.Popen[str]:
        if (name, binary) not in self._running:
            self._running |= {(each, binary): start(each, binary) for each in SHOWN}
        return self._running[name, binary]

    def stop(self) -> None:
        for process in self._running.values():
            with process:  # waits for it, and closes its pipes
                process.kill()


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    runs = Runs()
    yield runs
    runs.stop()


@pytest.mark.xdist_group("examples")  # one worker, so that each example is run once
@pytest.mark.parametrize("name", SHOWN)
def test_an_example_runs_and_shows_what_it_should(name: str, etcd_binary: EtcdBinary, runs: Runs) -> None:
    process = runs.get(name, etcd_binary)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, ""), output
    lines = iter(output.splitlines())
    for wanted in SHOWN[name]:
        assert any(wanted in line for line in lines), f"{wanted!r} does not come, or not in its place:\n{output}"
    assert "\x1b" not in output


def test_no_example_is_left_out() -> None:
    assert {path.name for path in (ROOT / "examples").glob("*.py")} == set(SHOWN)


@pytest.mark.parametrize("name", ["quickstart.py", "typed_config.py", "live_proxy.py"])
async def test_an_example_takes_an_endpoint_and_leaves_nothing_behind(name: str, etcd: EtcdServer) -> None:
    with start(name, etcd.binary, etcd.url) as process:
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, ""), output
    async with Client(etcd.url) as client:
        assert list((await client.read("/", recursive=True)).leaves) == []


async def test_the_tour_does_not_touch_what_is_there_already(etcd: EtcdServer) -> None:
    async with Client(etcd.url) as client:
        await client.write("/tour/of/somebody", "else")
        with start("tour.py", etcd.binary, etcd.url) as process:
            _, errors = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "There is something at /tour already" in errors
        assert (await client.read("/tour/of/somebody")).value == "else"


# -- the screen of the tour -----------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown_on(out: io.StringIO) -> str:
    screen = Screen(out)
    screen.title("A title")
    screen.words("Words. " * 40)
    screen.code(["print(1)", "", "print(2)"])
    print("printed " * 30, file=screen)
    return out.getvalue()


@pytest.mark.parametrize("columns", [80, 100, 200])
def test_no_line_of_the_tour_is_wider_than_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert max(len(line) for line in shown_on(io.StringIO()).splitlines()) < min(columns, 101)
    for step in STEPS:
        assert max(len(line) for line in code_of(step.shown or step.run)) <= 73, words_of(step.run)


def test_the_tour_has_colours_on_a_terminal_only_and_not_where_they_are_unwanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[1mA title\x1b[0m" in shown_on(Terminal())
    assert "\x1b" not in shown_on(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in shown_on(Terminal())
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in shown_on(Terminal())
