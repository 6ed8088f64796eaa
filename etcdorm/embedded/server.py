"""A real etcd for as long as a block lasts: one member, on this machine's loopback, on free ports."""

from __future__ import annotations

import logging
import os
import secrets
import shlex
import shutil
import signal
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from etcdorm.embedded.binary import EtcdBinary, find_binary
from etcdorm.embedded.block import Block
from etcdorm.embedded.command import HOST, etcd_arguments, etcd_environment
from etcdorm.embedded.guard import Guard
from etcdorm.embedded.probe import State, answers, ask, free_ports, hold_ports, is_locked
from etcdorm.errors import ServerError, UsageError

_log = logging.getLogger("etcdorm.embedded")

_PORT_TRIES = 5
_POLL = 0.01
_LOCK_PATIENCE = 2.0  # the guard of a process that was killed a moment ago may still be at work
_LOG_HEAD, _LOG_TAIL = 3, 12  # lines; a complaint about a flag is followed by pages of help

_T = TypeVar("_T")


class EtcdServer(Block):
    """A real etcd of one member: ``async with EtcdServer() as server``, or ``with``, or ``start()`` and ``stop()``.

    ``data_dir`` is created when it does not exist, and kept; without it the data lives in a temporary directory that
    goes with the server. ``binary`` is an :class:`EtcdBinary` or a path; without it :func:`find_binary` chooses.
    ``ports`` are those for clients and for peers; without them free ones are taken. ``listen_urls`` are further URLs at
    which clients are served, as ``https://127.0.0.1:2379`` with ``--cert-file`` and ``--key-file`` in ``extra_args``,
    which follow etcdorm's own arguments, and so prevail. ``start_timeout`` is in seconds.

    etcd never outlives this process, also when that is killed. Making the object does nothing yet; the plain methods
    block for as long as etcd takes, so in asyncio code other than ``async with`` call them by ``asyncio.to_thread``.
    """

    def __init__(
        self,
        *,
        data_dir: str | os.PathLike[str] | None = None,
        binary: EtcdBinary | str | os.PathLike[str] | None = None,
        name: str | None = None,
        ports: tuple[int, int] | None = None,
        listen_urls: Sequence[str] = (),
        extra_args: Sequence[str] = (),
        start_timeout: float = 10.0,
    ) -> None:
        super().__init__()
        self._given_dir = None if data_dir is None else Path(data_dir).absolute()
        self._given_binary = binary
        # Nobody else has this name, so the server that answers with it is this one.
        self._name = name or f"etcdorm-{secrets.token_hex(6)}"
        self._given_ports = ports
        self._listen_urls = tuple(listen_urls)
        self._extra_args = tuple(extra_args)
        self._start_timeout = start_timeout
        self._scratch: Path | None = None
        self._binary: EtcdBinary | None = None
        self._ports: tuple[int, int] | None = None
        self._held = ExitStack()
        self._guard: Guard | None = None

    # -- what it is ----------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where clients find it; the same after :meth:`restart`."""
        return f"http://{HOST}:{_started(self._ports)[0]}"

    @property
    def name(self) -> str:
        """What it calls itself in its cluster."""
        return self._name

    @property
    def pid(self) -> int:
        """The process id of etcd itself."""
        return _started(self._guard).pid

    @property
    def binary(self) -> EtcdBinary:
        return _started(self._binary)

    @property
    def data_dir(self) -> Path:
        return self._given_dir or _started(self._scratch) / "data"

    @property
    def log_path(self) -> Path:
        """The file that holds what etcd itself has said."""
        return (self._given_dir or _started(self._scratch)) / "etcd.log"

    @property
    def running(self) -> bool:
        """Whether etcd's process exists, be it paused."""
        return self._guard is not None and self._guard.status is None

    def __repr__(self) -> str:
        place = f"{self.url} pid={self.pid}" if self._guard else "not started"
        return f"<EtcdServer {place}>"

    # -- from start to stop ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start etcd, and return once it serves.

        Raises: ServerError when no binary will do, or etcd does not serve in time; it brings etcd's log.
        """
        if self._guard is not None:
            raise UsageError(f"{self!r} is started already")
        try:
            self._binary = self._choose_binary()
            self._make_data_dir()
            self._wait_for_lock()
            for tries_left in reversed(range(_PORT_TRIES)):
                client, peer = self._given_ports or free_ports(2)
                self._ports = client, peer
                self._held = hold_ports(client, peer, *self._further_ports())
                try:
                    self._run()
                except PortTakenError:
                    self._held.close()
                    if not tries_left or self._given_ports:
                        raise
                else:
                    return
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End etcd and remove its temporary directory. It always ends, and may be called twice."""
        if self._guard is not None:
            self._guard.stop()
        self._held.close()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
        self._guard = self._scratch = self._ports = None

    def kill(self) -> None:
        """End etcd as a crash would; its data stays for :meth:`restart`."""
        _started(self._guard).kill()

    def restart(self) -> None:
        """Start etcd again, on the same ports and data; if it still runs, it is stopped first."""
        _started(self._guard).stop()
        self._run()

    def pause(self) -> None:
        """Freeze etcd: connections stay open, and nothing is answered until :meth:`resume`."""
        _started(self._guard).send(signal.SIGSTOP)
        while self.running and answers(_started(self._ports)[0]):
            pass  # each of its threads stops at the next occasion, not at once

    def resume(self) -> None:
        _started(self._guard).send(signal.SIGCONT)

    # -- the parts of a start ----------------------------------------------------------------------------------------

    def _choose_binary(self) -> EtcdBinary:
        if self._given_binary is None:
            return find_binary()
        return self._given_binary if isinstance(self._given_binary, EtcdBinary) else EtcdBinary.at(self._given_binary)

    def _make_data_dir(self) -> None:
        if self._given_dir is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="etcdorm-"))
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ServerError(f"{self.data_dir} can't be made a data directory: {error.strerror}") from error

    def _wait_for_lock(self) -> None:
        deadline = time.monotonic() + _LOCK_PATIENCE
        while is_locked(self.data_dir):
            if time.monotonic() > deadline or self.abandoned.wait(_POLL):
                raise self._locked()

    def _locked(self) -> ServerError:
        return ServerError(f"another etcd is running on {self.data_dir}. Stop that one, or give a data_dir of its own.")

    def _run(self) -> None:
        command = self._command()
        already_said = self.log_path.stat().st_size if self.log_path.exists() else 0
        try:
            self._guard = Guard(command, environment=etcd_environment(), log=self.log_path, scratch=self._scratch)
        except OSError as error:
            raise ServerError(f"etcd can't be started with its log at {self.log_path}: {error.strerror}") from error
        problem = self._wait_until_serving(self._guard)
        if not problem:
            _log.info("etcd %s serves at %s, process %d", self.binary.version, self.url, self.pid)
            return
        self._guard.stop()
        if is_locked(self.data_dir):  # by one that was started at the same time
            raise self._locked()
        said = self.log_path.read_bytes()[already_said:].decode(errors="replace").splitlines()
        kind = PortTakenError if any("address already in use" in line for line in said) else ServerError
        if len(said) > _LOG_HEAD + _LOG_TAIL:
            said[_LOG_HEAD:-_LOG_TAIL] = ["..."]
        log = "\n".join(f"    {line}" for line in said) or "    (nothing)"
        raise kind(f"etcd {problem}\n  its command: {shlex.join(command)}\n  its log:\n{log}")

    def _wait_until_serving(self, guard: Guard) -> str:
        """Return "" once etcd serves, or what is wrong."""
        client_port, _ = _started(self._ports)
        deadline = time.monotonic() + self._start_timeout
        while True:
            state = ask(client_port, self._name)
            if guard.status is not None:
                return f"ended with status {guard.status} instead of serving"
            if state is State.SERVING:
                return ""
            if state is State.WITHOUT_V2:
                return "serves without the v2 API; it needs --enable-v2"
            if time.monotonic() > deadline:
                who = "; an etcd of another name answers on its port" if state is State.SOMEBODY_ELSE else ""
                return f"did not serve within {self._start_timeout:g} s{who}"
            if self.abandoned.wait(_POLL):
                return "was given up while it started"

    def _further_ports(self) -> list[int]:
        return [int(port) for url in self._listen_urls if (port := url.rpartition(":")[2]).isdecimal()]

    def _command(self) -> list[str]:
        ports = _started(self._ports)
        arguments = etcd_arguments(
            self.binary.version,
            name=self._name,
            data_dir=self.data_dir,
            ports=ports,
            listen=self._listen_urls,
            extra=self._extra_args,
        )
        return [str(self.binary.path), *arguments]


class PortTakenError(ServerError):
    """Another process took the port between our choosing it and etcd's listening on it."""


def _started(part: _T | None) -> _T:
    if part is None:
        raise UsageError("this EtcdServer is not started")
    return part
