"""What type checkers make of etcdorm: tests/typing asserts every public signature, and users are told their mistakes.

Here is what makes sure that nothing is left out there, and that a user's program is checked as well, which has none of
this project's configuration. mypy and pyright check tests/typing itself when ``dev.py test`` runs them.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from etcdorm import Session, connect
from etcdorm.testing import EtcdServer, FaultProxy
from etcdorm.v2 import EtcdException, EtcdKeyNotFound
from tests.support.asserted import MODULES, Reading, members, parameters, public
from tests.test_docs import blocks

ROOT = Path(__file__).parents[1]
TYPING = sorted((ROOT / "tests" / "typing").glob("test_*.py"))


@pytest.fixture(scope="module")
def readings() -> list[Reading]:
    return [Reading(ast.parse(path.read_text())) for path in TYPING]


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_used_where_types_are_asserted(module: str, readings: list[Reading]) -> None:
    used = {name for reading in readings for name in reading.names}
    missing = set(importlib.import_module(module).__all__) - used
    assert missing == set(), f"assert their types in tests/typing: {', '.join(sorted(missing))}"


def test_the_type_of_every_public_method_and_attribute_is_asserted(readings: list[Reading]) -> None:
    asserted = {pair for reading in readings for pair in reading.members}
    wanted = {(name, member) for name, kind in public().items() if isinstance(kind, type) for member in members(kind)}
    missing = sorted(f"{name}.{member}" for name, member in wanted - asserted)
    assert missing == [], f"assert their types in tests/typing, on a parameter of that class: {', '.join(missing)}"


def test_every_parameter_that_has_to_be_named_is(readings: list[Reading]) -> None:
    passed = {pair for reading in readings for pair in reading.passed}
    wanted = {pair for name, offered in public().items() for pair in parameters(name, offered)}
    missing = sorted(f"{function}({name}=)" for function, name in wanted - passed)
    assert missing == [], f"pass them to these in tests/typing: {', '.join(missing)}"


def test_what_is_not_asserted_is_noticed() -> None:
    code = "def check(session: Session) -> None:\n    assert_type(session.load, int)\n    session.save()\n"
    assert Reading(ast.parse(code)).members == {("Session", "load")}
    assert ("save_all", "limit") in parameters("Session", Session)
    assert ("connect", "timeout") in parameters("connect", connect)
    assert ("write", "ttl") in Reading(ast.parse("client.write('/a', ttl=3)")).passed


def test_members_are_found_however_they_are_made() -> None:
    assert members(FaultProxy) >= {"url", "cut", "judge"}  # a property, a method, and set by __init__
    assert members(EtcdServer) >= {"restart", "abandon"}  # of its own, and of a base that is not public
    assert "code" in members(EtcdException)
    assert "code" not in members(EtcdKeyNotFound)


# -- what users' checkers say ---------------------------------------------------------------------------------------

PROGRAM = next(block.text for block in blocks((ROOT / "docs/typing.md").read_text()) if block.language == "py")
"""The page's, with its mistakes."""
WRONG = {number for number, line in enumerate(PROGRAM.splitlines(), 1) if "  # wrong: " in line}


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program of somebody who has installed etcdorm, and has configured no checker."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def test_mypy_finds_the_mistakes_of_a_user_and_no_others(program: Path) -> None:
    said = run_checker("mypy", "--config-file=", f"--cache-dir={program.parent / 'cache'}", "--no-pretty", str(program))
    assert {int(number) for number in re.findall(r"^.*program\.py:(\d+): error: ", said, re.MULTILINE)} == WRONG, said


def test_pyright_finds_the_mistakes_of_a_user_and_no_others(program: Path) -> None:
    (program.parent / "pyrightconfig.json").write_text('{"typeCheckingMode": "standard"}')
    said = run_checker("basedpyright", "--outputjson", "--project", str(program.parent))
    found = json.loads(said)["generalDiagnostics"]
    assert {each["range"]["start"]["line"] + 1 for each in found if each["severity"] == "error"} == WRONG, said


def test_no_type_of_a_public_name_is_left_to_a_checkers_guess() -> None:
    said = json.loads(run_checker("basedpyright", "--outputjson", "--ignoreexternal", "--verifytypes", "etcdorm"))
    symbols = {each["name"]: each for each in said["typeCompleteness"]["symbols"]}
    offered = {f"{module}.{name}" for module in MODULES for name in importlib.import_module(module).__all__}
    assert offered - symbols.keys() == set()
    vague = sorted(name for name in offered if not symbols[name]["isTypeKnown"])
    reasons = [
        f"{each['name']}: {found['message']}"
        for each in symbols.values()
        for found in each["diagnostics"]
        if found["severity"] == "error"
    ]
    assert vague == [], "\n".join(["annotate what makes them vague, among these:", *reasons])


def run_checker(module: str, *arguments: str) -> str:
    """What a checker prints. It finds the Python of this environment first on the PATH, and needs no network."""
    if importlib.util.find_spec(module) is None:
        pytest.fail(f"{module} is not installed; it is in the extra dev, which `python3 dev.py test` installs")
    here = Path(sys.executable).parent
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, "PATH": f"{here}{os.pathsep}{os.environ.get('PATH', '')}"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    ).stdout
