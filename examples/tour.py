"""A walk through what etcdorm does, on a real etcd: what each step did, and what etcd holds at that moment.

usage: python examples/tour.py [ENDPOINT]

Without an endpoint an etcd is started, and ends with the walk. The code that is shown is the code that runs.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import logging
import os
import re
import shutil
import signal
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from io import TextIOBase
from typing import TextIO

from etcdorm import ConflictError, DecodeError, EtcdModel, EtcdormError, Expired, LockLostError, Session, connect
from etcdorm.testing import EtcdServer
from etcdorm.v2 import Client, EtcdKeyNotFound, EtcdResult
from etcdorm.v2.observers import Call, Observer
from etcdorm.v2.store import V2Store


class Node(EtcdModel, path="/tour/nodes/{name}"):
    name: str  # a key field: part of the path, and stored nowhere else
    host: str
    port: int = 8080
    labels: dict[str, str] = {}  # a map: one key per entry


class Event(EtcdModel, path="/tour/events/{id}"):
    id: str | None = None  # made by etcd
    kind: str


# -- the steps: title and words in the docstring; the code below it is shown and run ----------------------------------


async def save(session: Session, client: Client) -> None:
    """Save it

    Every field is a plain key that etcdctl and other tools can read and write. @commit is the save itself: one
    request that etcd does or refuses, with all that is new in it. The keys follow, and @applied says that they are up
    to date. (Ids are cut short here.)
    """
    node = Node(name="n1", host="10.0.0.1", labels={"zone": "a"})
    await session.save(node)


async def change_one_field(session: Session, client: Client) -> None:
    """Change one field

    That one key is written, and the bookkeeping. @commit was compared and swapped: it was still as it had been loaded.
    """
    node = await session.load(Node, "n1")
    node.port = 9090
    await session.save(node)


async def race(session: Session, client: Client) -> None:
    """Two writers, one record

    Both have loaded it, and both save. The second one is refused, and nothing of it was written.
    """
    mine = await session.load(Node, "n1")
    theirs = await session.load(Node, "n1")
    theirs.port = 9091
    await session.save(theirs)
    mine.host = "10.0.0.2"
    try:
        await session.save(mine)
    except ConflictError as error:
        print(f"ConflictError: {error}")


async def update(session: Session, client: Client) -> None:
    """Load, change, save, and again when another save came between

    update() does that, until the change is in; both writers' work is there.
    """

    def move(node: Node) -> None:
        node.host = "10.0.0.2"

    await session.update(Node, "n1", move)


async def dying_writer(session: Session) -> None:
    node = await session.load(Node, "n1")
    node.host, node.port, node.labels = "10.0.0.3", 7070, {"zone": "b"}
    await session.save(node)


async def a_writer_dies(session: Session, client: Client) -> None:
    """A writer dies half way through a save

    Another process saves three changes at once. It is killed (SIGKILL) right after its @commit was written, so none
    of the three keys was: they are all old, and @applied is behind @commit.
    """
    async with child("dying_writer", client.endpoints[0]) as process:
        print(f"the writer was ended by {signal.Signals(-await process.wait()).name}")


async def read(session: Session, client: Client) -> None:
    """A reader sees all of that save nevertheless

    What the last commit has not yet brought to the keys, a reader lays over them. Never half of a save, dead writer or
    not.
    """
    print(await session.load(Node, "n1"))


async def save_after_the_dead(session: Session, client: Client) -> None:
    """The next save brings the keys up to date

    It takes over what the dead writer left undone, with its own change: see "pending" in @commit.
    """
    node = await session.load(Node, "n1")
    node.labels["rack"] = "7"
    await session.save(node)


async def register(session: Session, client: Client) -> None:
    """A record that expires

    The TTL is on one key, @lease. A refresh is one request, moves no version and wakes no watcher.
    """
    node = await session.save(Node(name="n2", host="10.0.0.9"), ttl=2)
    await session.refresh(node, ttl=3)


async def expire(session: Session, client: Client) -> None:
    """It is refreshed no longer, and a watch tells its end

    The watch begins with the records there are. When @lease is gone, so is the whole record, for every reader from one
    moment on; the first session that meets what is left of it, here this one, clears it away.
    """
    async with session.watch(Node) as changes:
        async for change in changes:
            print(type(change).__name__, change.path)
            if isinstance(change, Expired):
                break
    print("left:", [node.name for node in await session.list(Node)])


async def append(session: Session, client: Client) -> None:
    """Append

    etcd makes the key, and numbers it in the order of arrival. The model is JSON in that one key.
    """
    for kind in ("boot", "ready"):
        event = await session.append(Event(kind=kind))
        print(event.id, event.kind)


async def former_holder(session: Session) -> None:
    node = await session.load(Node, "n1")
    try:
        async with session.lock(node, ttl=2) as held:
            print("first holder:  has the lock, token", held.token)
            await its_long_pause()
    except LockLostError as error:
        print("first holder:  LockLostError:", error)
    try:
        node.port = 1
        await session.save(node)
    except ConflictError as error:
        print("first holder:  ConflictError:", error)


async def lock(session: Session, client: Client) -> None:
    """A lock, and a holder that does not know that it lost it

    The process that has the lock is stopped (SIGSTOP) for longer than its TTL, so a second one gets it, and works.
    Then the first one wakes up inside its block, which is cancelled before it does anything. And should it save what
    it has loaded: taking the lock has written the token into @commit ("fence"), and so moved the version; the late save
    is refused by etcd itself.
    """
    async with child("former_holder", client.endpoints[0]) as process:
        print(await line_of(process))
        process.send_signal(signal.SIGSTOP)
        node = await session.load(Node, "n1")
        async with session.lock(node, ttl=10) as held:
            print("second holder: has the lock, token", held.token)
            node.port = 6060
            await session.save(node)
        process.send_signal(signal.SIGCONT)
        print(await line_of(process))
        print(await line_of(process))


async def watch(session: Session, client: Client) -> None:
    """Watch

    One save is one change, however many keys it wrote. What another tool writes is a change as well.
    """
    async with session.watch(Node, name="n1") as changes:
        await anext(changes)  # the record as it is
        node = await session.load(Node, "n1")
        node.host, node.port, node.labels = "10.0.0.4", 5050, {}
        await session.save(node)
        await client.write("/tour/nodes/n1/port", "5051")  # as etcdctl does
        for _ in range(2):
            print(await anext(changes))


async def bad_edit(session: Session, client: Client) -> None:
    """Somebody writes nonsense

    Text is read by the type of its field. What does not fit is told with its key and field, and never guessed.
    """
    await client.write("/tour/nodes/n1/port", "many")
    try:
        await session.load(Node, "n1")
    except DecodeError as error:
        print(error)
    await client.write("/tour/nodes/n1/port", "5051")


async def delete(session: Session, client: Client) -> None:
    """Delete

    A delete is a commit too: it is refused when another save came between. The directory goes with the last key.
    """
    await session.delete(await session.load(Node, "n1"))


@dataclass(frozen=True)
class Step:
    run: Callable[[Session, Client], Awaitable[None]]
    shown: Callable[..., object] | None = None  # what is shown instead of its own code


STEPS = [
    *(Step(run) for run in (save, change_one_field, race, update)),
    Step(a_writer_dies, shown=dying_writer),
    *(Step(run) for run in (read, save_after_the_dead, register, expire, append)),
    Step(lock, shown=former_holder),
    *(Step(run) for run in (watch, bad_edit, delete)),
]


# -- the other processes ----------------------------------------------------------------------------------------------

woken = asyncio.Event()


class Deadly(Observer):
    """Kills this process when a save is committed and nothing else of it is written yet."""

    def request_answered(self, call: Call, endpoint: str, status: int, duration: float) -> None:
        if call.method == "PUT" and call.key.endswith("/@commit"):
            os.kill(os.getpid(), signal.SIGKILL)


async def its_long_pause() -> None:
    await woken.wait()


async def be_child(name: str, url: str) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGCONT, woken.set)
    logging.disable()  # that its lock could not be kept is told by the step itself
    client = Client(url, observers=[Deadly()] if name == "dying_writer" else [])
    async with Session(V2Store(client)) as session:
        await {"dying_writer": dying_writer, "former_holder": former_holder}[name](session)


@asynccontextmanager
async def child(name: str, url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """This program in another process, which doesn't outlive the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", __file__, url, name), stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def line_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), timeout=20)).decode().rstrip()


# -- what is on the screen --------------------------------------------------------------------------------------------

PREFIX = "/tour"
MARKS = {"+": "32", "~": "33", "-": "31"}  # new, changed, gone: green, yellow, red


class Screen(TextIOBase):
    """Titles, words, code, what the steps print (it is their stdout), and what etcd holds."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._coloured = out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._width = min(max(shutil.get_terminal_size((90, 24)).columns, 60), 100) - 1
        self._unfinished = ""
        self._printing = False
        self._keys: dict[str, EtcdResult] = {}

    def title(self, text: str) -> None:
        self._line()
        self._line(text, "1")

    def words(self, text: str) -> None:
        for line in textwrap.wrap(text, self._width - 4):
            self._line(f"    {line}")

    def code(self, lines: list[str]) -> None:
        self._line()
        for line in lines:
            self._line(f"    | {line}".rstrip(), "36")

    def write(self, text: str) -> int:
        """What a step prints."""
        *lines, self._unfinished = (self._unfinished + text).split("\n")
        for line in lines:
            if not self._printing:
                self._line()
            self._printing = True
            indent = " " * (len(line) - len(line.lstrip()) + 2)
            for part in textwrap.wrap(line, self._width - 6, subsequent_indent=indent):
                self._line(f"    > {part}")
        return len(text)

    def keys(self, keys: dict[str, EtcdResult]) -> None:
        """The records that are not as they were, with a mark at each key that is not."""
        self._printing = False
        marks = {key: _mark(self._keys.get(key), keys.get(key)) for key in self._keys.keys() | keys.keys()}
        self._keys = keys
        changed = sorted({_split(key)[0] for key, mark in marks.items() if mark != " "})
        if not changed:
            return
        self._line()
        self._line("    in etcd (+ new, ~ changed, - gone):")
        for record in changed:
            self._line(f"      {record}/")
            for key in sorted(key for key in marks if _split(key)[0] == record):
                self._key(marks[key], _split(key)[1], keys.get(key))

    def _key(self, mark: str, name: str, now: EtcdResult | None) -> None:
        value = "" if now is None else now.value or ""
        if name.startswith("@"):
            value = re.sub(r'("earlier":\["[^"]*",)[^]]*', r"\1..", value)
            value = re.sub(r"[\w-]{16}", lambda id: f"{id[0][:6]}..", value)
        if now is not None and now.ttl is not None:
            value += f"   (expires in {now.ttl} s)"
        first, *more = _fold(value, self._width - 22)
        self._line(f"    {mark}   {name:<12}  {first}".rstrip(), MARKS.get(mark, ""))
        for line in more:
            self._line(" " * 22 + line, MARKS.get(mark, ""))

    def _line(self, text: str = "", colour: str = "") -> None:
        print(f"\x1b[{colour}m{text}\x1b[0m" if self._coloured and colour else text, file=self._out, flush=True)


def _mark(before: EtcdResult | None, now: EtcdResult | None) -> str:
    if before is None or now is None:
        return "+" if before is None else "-"
    return " " if before.modifiedIndex == now.modifiedIndex else "~"


def _fold(text: str, width: int) -> list[str]:
    """Lines of a JSON text, broken after its commas where that is possible."""
    lines = [""]
    for part in re.findall(r"[^,]*,?", text):
        if len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return [line[at : at + width] for line in lines for at in range(0, max(len(line), 1), width)]


def _split(key: str) -> tuple[str, str]:
    """The directory of the record and the rest; an appended event is one key in the directory of all of them."""
    segments = key.split("/")
    at = 4 if len(segments) > 4 else 3
    return "/".join(segments[:at]), "/".join(segments[at:])


def words_of(function: Callable[..., object]) -> tuple[str, str]:
    title, _, words = inspect.cleandoc(function.__doc__ or "").partition("\n\n")
    return title, words


def code_of(function: Callable[..., object]) -> list[str]:
    """The lines of its body, without the docstring."""
    lines, _ = inspect.getsourcelines(function)
    definition = ast.parse(textwrap.dedent("".join(lines))).body[0]
    assert isinstance(definition, ast.AsyncFunctionDef)
    body = definition.body[1:] if ast.get_docstring(definition) else definition.body
    return textwrap.dedent("".join(lines[body[0].lineno - 1 :])).rstrip().splitlines()


# -- the walk ---------------------------------------------------------------------------------------------------------


async def all_keys(client: Client) -> dict[str, EtcdResult]:
    try:
        result = await client.read(PREFIX, recursive=True, quorum=True)
    except EtcdKeyNotFound:
        return {}
    return {leaf.key: leaf for leaf in result.leaves}


async def all_keys_at_rest(client: Client) -> dict[str, EtcdResult]:
    """All keys, once the session has cleared away behind itself."""
    keys = await all_keys(client)
    while True:
        await asyncio.sleep(0.05)
        before, keys = keys, await all_keys(client)
        if not any(_mark(before.get(key), keys.get(key)) != " " for key in before.keys() | keys.keys()):
            return keys


async def walk(url: str, what: str) -> None:
    screen, begun = Screen(sys.stdout), time.monotonic()
    async with connect(url) as session, Client(url) as client:
        if await all_keys(client):
            sys.exit(f"There is something at {PREFIX} already, and this walk would mix with it; remove that first.")
        screen.title("etcdorm: typed models in etcd")
        screen.words(f"{what} The code below is what runs; first, a model:")
        screen.code(inspect.getsource(Node).rstrip().splitlines())
        try:
            for number, step in enumerate(STEPS, 1):
                title, words = words_of(step.run)
                screen.title(f"{number:>2}  {title}")
                screen.words(words)
                screen.code(code_of(step.shown or step.run))
                with redirect_stdout(screen):
                    await step.run(session, client)
                screen.keys(await all_keys_at_rest(client))
        finally:
            with suppress(EtcdKeyNotFound):
                await client.delete(PREFIX, recursive=True)
        screen.title(f"That was all of it, in {time.monotonic() - begun:.0f} s.")
        screen.words("To go on: docs/tutorial.md, examples/quickstart.py, and docs/design.md for how it works.")


async def main(endpoint: str = "embedded:") -> None:
    if endpoint != "embedded:":
        await walk(endpoint, f"This is the etcd at {endpoint}.")
        return
    async with EtcdServer() as server:
        await walk(server.url, f"Started for this walk, and ending with it: {server.binary}.")


if __name__ == "__main__":
    try:
        asyncio.run(be_child(sys.argv[2], sys.argv[1]) if len(sys.argv) > 2 else main(*sys.argv[1:]))
    except EtcdormError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
