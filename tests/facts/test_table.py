"""docs/etcd-facts.md names every test of this directory, and none that does not exist."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
TABLE = (TESTS.parent / "docs" / "etcd-facts.md").read_text(encoding="utf-8")


def test_the_table_and_the_tests_name_the_same_facts() -> None:
    here = {name for file in Path(__file__).parent.glob("test_*.py") if file != Path(__file__) for name in names(file)}
    assert set(re.findall(r"`(test_\w+)`", TABLE)) == here


def test_the_files_that_the_table_names_exist() -> None:
    files = set(re.findall(r"integration/\w+\.py", TABLE))
    assert files
    assert all((TESTS / file).is_file() for file in files)


def names(file: Path) -> list[str]:
    return re.findall(r"^(?:async )?def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
