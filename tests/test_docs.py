"""The Python code of README.md and docs/, run on a real etcd as a reader would type it.

A file is one story: its ``python`` blocks share a namespace, in their order, and may use ``await`` outside of
functions, as in ``python -m asyncio``. A ``text`` block that follows a ``python`` block is all that this block prints;
``...`` in it stands for any text, and alone on a line for any number of lines. A block without one prints nothing.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import io
import re
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest

import etcdorm.errors
from etcdorm.embedded.binary import VARIABLE
from etcdorm.testing import EtcdBinary

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


@dataclass(frozen=True)
class Block:
    """A fenced block; ``line`` is that of its opening fence, counted from 1."""

    language: str
    text: str
    line: int
    end: int


@dataclass(frozen=True)
class Snippet:
    """Python code, and what it prints."""

    code: str
    line: int
    output: str


def blocks(text: str) -> Iterator[Block]:
    opened, inside = 0, False
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if line.startswith("```"):
            if inside:
                yield Block(lines[opened - 1][3:].strip(), "\n".join(lines[opened : number - 1]), opened, number)
            opened, inside = number, not inside
    assert not inside, f"the block that begins in line {opened} has no end"


def snippets(text: str) -> list[Snippet]:
    lines = text.splitlines()
    found = []
    for block, following in pairwise([*blocks(text), Block("", "", len(lines) + 1, len(lines) + 1)]):
        if block.language == "python":
            shown = following.language == "text" and not any(lines[block.end : following.line - 1])
            found.append(Snippet(block.text, block.line, following.text if shown else ""))
    return found


def as_pattern(output: str) -> str:
    """The regular expression that an output of the docs stands for."""
    lines = (
        "(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*?") + "\n"
        for line in output.splitlines()
    )
    return "".join(lines)


@contextmanager
def closing_stacks(module: ModuleType, runner: asyncio.Runner) -> Iterator[None]:
    """Close what a page that came to no good end has left open."""
    try:
        yield
    except BaseException:
        for stack in [each for each in vars(module).values() if isinstance(each, AsyncExitStack)]:
            runner.run(stack.aclose())
        raise


def run(text: str, name: str) -> None:
    """Run all snippets of a page, and raise AssertionError for the first that does not print what it should."""
    module = ModuleType(Path(name).stem)
    with asyncio.Runner() as runner, closing_stacks(module, runner):
        for snippet in snippets(text):
            # The blank lines make a traceback point to the line of the page.
            source = "\n" * snippet.line + snippet.code
            code = compile(source, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
            with redirect_stdout(io.StringIO()) as printed:
                result = eval(code, module.__dict__)
                if code.co_flags & inspect.CO_COROUTINE:
                    runner.run(result)
            if not re.fullmatch(as_pattern(snippet.output), printed.getvalue()):
                raise AssertionError(
                    f"{name}, line {snippet.line}: the block prints\n{printed.getvalue()}\ninstead of\n{snippet.output}"
                )


@pytest.mark.parametrize("page", [page for page in PAGES if snippets(page.read_text())], ids=lambda page: page.name)
def test_the_code_of_a_page_does_what_it_shows(
    page: Path, etcd_binary: EtcdBinary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(etcd_binary.path))
    run(page.read_text(), str(page.relative_to(ROOT)))


def test_the_pages_have_code() -> None:
    without = {page.name for page in PAGES if not snippets(page.read_text())}
    assert without == {"CHANGELOG.md", "benchmarks.md", "design.md", "etcd-facts.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_readme_tells_what_to_do_about_every_error() -> None:
    names = {
        name for name, each in vars(etcdorm.errors).items() if inspect.isclass(each) and issubclass(each, Exception)
    }
    told = set(re.findall(r"`(\w+)`", (ROOT / "README.md").read_text()))
    assert names - told == set()


def test_the_first_screen_of_the_readme_has_both_commands_and_the_example() -> None:
    first_screen = "\n".join((ROOT / "README.md").read_text().splitlines()[:30])
    for words in ("python3 dev.py demo", "python3 dev.py test", "class Node(EtcdModel"):
        assert words in first_screen


# -- and that the above can fail ---------------------------------------------------------------------------------------


def page(*parts: str) -> str:
    return "\n\n".join(f"```{language}\n{text}\n```" for language, _, text in (part.partition(":") for part in parts))


def test_blocks_of_a_page_share_names_and_a_loop() -> None:
    run(
        page(
            "python:import asyncio\nqueue = asyncio.Queue()\nloop = asyncio.get_running_loop() if 0 else None",
            "python:await queue.put(7)\nget = asyncio.create_task(queue.get())",
            "python:print(await get)",
            "text:7",
        ),
        "page.md",
    )


def test_a_block_may_run_a_loop_of_its_own() -> None:
    run(page("python:import asyncio\nasyncio.run(asyncio.sleep(0))", "python:await asyncio.sleep(0)"), "page.md")


@pytest.mark.parametrize(
    ("shown", "printed"),
    [("one ... three", "one two three"), ("...", "one\ntwo\nthree"), ("one\n...\nthree", "one\ntwo\nthree")],
)
def test_dots_stand_for_what_varies(shown: str, printed: str) -> None:
    run(page(f"python:print({printed!r})", f"text:{shown}"), "page.md")


@pytest.mark.parametrize("shown", ["one", "one two", "one ...x three", "one two three\nfour", "one.two three"])
def test_another_output_is_noticed(shown: str) -> None:
    with pytest.raises(AssertionError, match=r"page\.md, line 1: the block prints\none two three"):
        run(page("python:print('one two three')", f"text:{shown}"), "page.md")


def test_an_output_that_is_not_shown_is_noticed() -> None:
    with pytest.raises(AssertionError, match="line 5"):
        run(page("python:pass", "python:print('one')"), "page.md")


def test_an_output_that_does_not_come_is_noticed() -> None:
    with pytest.raises(AssertionError, match="instead of\none"):
        run(page("python:pass", "text:one"), "page.md")


def test_an_error_is_told_with_the_line_of_the_page() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        run(page("python:pass", "python:1\n1 / 0"), "page.md")
    last = caught.traceback[-1]
    assert (str(last.path), last.lineno + 1) == ("page.md", 7)


def test_a_text_block_further_down_is_no_output() -> None:
    run(page("python:pass") + "\n\nWords.\n\n" + page("text:one"), "page.md")
