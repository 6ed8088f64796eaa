"""dev.py without a network: what it decides, and what it says."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

DEV = Path(__file__).parents[2] / "dev.py"


@pytest.fixture
def dev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A copy of dev.py in a directory of its own, so that no test can touch the real .venv."""
    copy = tmp_path / "a project" / "dev.py"
    copy.parent.mkdir()
    copy.write_bytes(DEV.read_bytes())
    (copy.parent / "pyproject.toml").write_text('[project]\nname = "etcdorm"\n')
    spec = importlib.util.spec_from_file_location("dev_under_test", copy)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_an_old_python_can_parse_it() -> None:
    ast.parse(DEV.read_text(), feature_version=(3, 6))


def test_an_old_python_is_refused_with_both_versions(dev: ModuleType) -> None:
    words = dev.refusal((3, 9))
    assert "needs Python 3.11" in words
    assert "this is Python 3.9 " in words


@pytest.mark.parametrize("version", [(3, 11), (3, 13), (4, 0)])
def test_a_new_enough_python_is_not_refused(dev: ModuleType, version: tuple[int, int]) -> None:
    assert dev.refusal(version) == ""


def test_an_installation_covers_itself(dev: ModuleType) -> None:
    line = dev.stamp_line("server", b"toml", "3.11", "/here")
    assert dev.covers(line, line)


@pytest.mark.parametrize(("more", "less"), [("dev", "server"), ("dev,bench", "dev"), ("dev,bench", "server")])
def test_what_a_command_needs_covers_what_a_lesser_one_needs_but_not_the_other_way(
    dev: ModuleType, more: str, less: str
) -> None:
    greater, lesser = (dev.stamp_line(extras, b"toml", "3.11", "/here") for extras in (more, less))
    assert dev.covers(greater, lesser)
    assert not dev.covers(lesser, greater)


@pytest.mark.parametrize(
    "other", [(b"other toml", "3.11", "/here"), (b"toml", "3.12", "/here"), (b"toml", "3.11", "/there")]
)
def test_an_installation_is_stale_once_something_it_depends_on_changes(
    dev: ModuleType, other: tuple[bytes, str, str]
) -> None:
    assert not dev.covers(dev.stamp_line("dev", b"toml", "3.11", "/here"), dev.stamp_line("dev", *other))


@pytest.mark.parametrize("garbage", [b"", b"dev", b"\xff\xfe\x00", b"dev 0123\nmore"])
def test_a_damaged_stamp_covers_nothing(dev: ModuleType, garbage: bytes) -> None:
    dev.VENV.mkdir()
    dev.STAMP.write_bytes(garbage)
    assert not dev.covers(dev.read_stamp(), dev.stamp_line("dev", b"toml", "3.11", "/here"))


def test_what_was_installed_is_remembered_for_the_lesser_commands_too(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    dev.VENV.mkdir()
    steps: list[str] = []

    def quietly(doing: str, _: list[str]) -> bool:
        steps.append(doing)
        return True

    monkeypatch.setattr(dev, "venv_fault", lambda: "")
    monkeypatch.setattr(dev, "quietly", quietly)
    for extras in ("dev", "dev,bench", "dev,bench", "dev", "server"):
        dev.prepare(extras)
    assert steps == [
        "installing etcdorm[dev] into .venv",
        "installing etcdorm[dev,bench] into .venv",
        f"installing {dev.AIO_ETCD} into .venv",
    ]


def test_an_installation_that_fails_half_way_is_not_remembered(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    dev.VENV.mkdir()
    monkeypatch.setattr(dev, "venv_fault", lambda: "")
    monkeypatch.setattr(dev, "quietly", lambda _, command: dev.AIO_ETCD not in command)
    dev.prepare("dev")
    with pytest.raises(SystemExit, match=f"could not install {dev.AIO_ETCD}"):
        dev.prepare("dev,bench")
    assert dev.read_stamp() == ""


def test_a_missing_venv_is_told(dev: ModuleType) -> None:
    assert dev.venv_fault() == "there is none yet"


def test_a_half_made_venv_is_told(dev: ModuleType) -> None:
    dev.VENV.mkdir()
    assert dev.venv_fault() == "it is broken or half made"


def test_a_venv_of_another_python_is_told(dev: ModuleType) -> None:
    dev.PYTHON.parent.mkdir(parents=True)
    dev.PYTHON.write_text("#!/bin/sh\necho 3.7 /somewhere\n")
    dev.PYTHON.chmod(0o755)
    assert dev.venv_fault() == f"it is of Python 3.7, and this is {dev.THIS_PYTHON}"


def test_root_on_debian_gets_the_package_of_this_very_python(dev: ModuleType) -> None:
    way = dev.remedy("/usr/bin/python3", "3.11", apt=True, root=True)
    assert [command[:2] for command in way.commands] == [("apt-get", "update"), ("apt-get", "install")]
    assert way.commands[-1][-1] == "python3.11-venv"


def test_another_user_on_debian_gets_the_exact_command(dev: ModuleType) -> None:
    way = dev.remedy("/usr/bin/python3", "3.11", apt=True, root=False)
    assert way.commands == ()
    assert "sudo apt-get install python3.11-venv" in way.words


@pytest.mark.parametrize(("executable", "apt"), [("/usr/bin/python3", False), ("/opt/python/bin/python3", True)])
def test_a_python_that_apt_can_not_mend_is_left_alone(dev: ModuleType, executable: str, apt: bool) -> None:
    way = dev.remedy(executable, "3.12", apt=apt, root=True)
    assert way.commands == ()
    assert executable in way.words


def test_the_environment_loses_what_would_lead_elsewhere_and_keeps_where_packages_come_from(dev: ModuleType) -> None:
    outer = {
        "PIP_TARGET": "/x",
        "PYTHONPATH": "/x",
        "VIRTUAL_ENV": "/x",
        "PIP_INDEX_URL": "https://index",
        "PATH": "/bin",
    }
    assert dev.environment(outer) == {"PIP_INDEX_URL": "https://index", "PATH": "/bin"}


def test_a_user_without_any_home_gets_one_inside_the_venv(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    assert dev.environment({}) == {"HOME": str(dev.VENV)}


def test_a_quiet_command_shows_its_output_only_when_it_fails(
    dev: ModuleType, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert dev.quietly("well", ["/bin/sh", "-c", "echo all is well"])
    assert not dev.quietly("ill", ["/bin/sh", "-c", "echo all is ill; exit 3"])
    shown = capfdbinary.readouterr().out.decode()
    assert "well ... ok" in shown
    assert "all is well" not in shown
    assert "ill ... FAILED" in shown
    assert "all is ill" in shown


def test_all_tests_run_in_parallel_and_a_choice_of_them_as_it_was_asked_for(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def become(*arguments: str) -> None:
        raise SystemExit(" ".join(arguments))

    monkeypatch.setattr(dev, "prepare", lambda extras: None)
    monkeypatch.setattr(dev, "quietly", lambda doing, command: True)
    monkeypatch.setattr(dev, "become", become)
    with pytest.raises(SystemExit, match=r"^-m pytest -n \d+ --dist loadgroup$"):
        dev.main(["test"])
    with pytest.raises(SystemExit, match=r"^-m pytest tests/unit -k path$"):
        dev.main(["test", "tests/unit", "-k", "path"])


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ([], "-m benchmarks"),
        (["--pairs", "3"], "-m benchmarks --pairs 3"),
        (["coordination"], "-m benchmarks.coordination"),
        (["coordination", "--ttl", "3"], "-m benchmarks.coordination --ttl 3"),
        (["contenders"], "-m benchmarks contenders"),  # it refuses that
    ],
)
def test_a_benchmark_is_chosen_by_its_name(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch, arguments: list[str], command: str
) -> None:
    def become(*arguments: str) -> None:
        raise SystemExit(" ".join(arguments))

    for name in ("coordination", "contenders"):
        (dev.ROOT / "benchmarks" / name).mkdir(parents=True)
    (dev.ROOT / "benchmarks" / "coordination" / "__main__.py").touch()
    monkeypatch.setattr(dev, "prepare", lambda extras: None)
    monkeypatch.setattr(dev, "become", become)
    with pytest.raises(SystemExit) as ended:
        dev.main(["bench", *arguments])
    assert ended.value.code == command


@pytest.mark.parametrize("arguments", [[], ["tset"], ["demo", "--fast"]])
def test_a_call_that_makes_no_sense_changes_nothing(
    dev: ModuleType, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert dev.main(arguments) == 2
    assert "usage:" in "".join(capsys.readouterr())
    assert not dev.VENV.exists()
