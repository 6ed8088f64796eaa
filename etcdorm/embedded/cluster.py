"""A real etcd cluster for as long as a block lasts: several members on this machine's loopback."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from etcdorm.embedded.binary import EtcdBinary
from etcdorm.embedded.command import HOST
from etcdorm.embedded.probe import free_ports, leader_of
from etcdorm.embedded.server import EtcdServer, PortTakenError
from etcdorm.embedded.threads import run_to_end
from etcdorm.errors import ServerError, UsageError

_PORT_TRIES = 5
_LEADER_PATIENCE = 10.0
_POLL = 0.02

# Slower than a single member's: several share the processors, and one that is late must not lose its leader for it.
_TIMING = ("--heartbeat-interval=50", "--election-timeout=500")


class EtcdCluster:
    """A real etcd cluster: ``async with EtcdCluster() as cluster``, or ``with``, or ``start()`` and ``stop()``.

    Each of its ``members`` is an :class:`EtcdServer`, to be killed, restarted, paused and resumed. ``binary`` is one
    for all members, or a sequence with one for each. ``extra_args`` are given to every member. The data lives in
    temporary directories and goes with the cluster, which never outlives this process.

    As with :class:`EtcdServer`, the plain methods block; in asyncio code call them by ``asyncio.to_thread``.
    """

    def __init__(
        self,
        size: int = 3,
        *,
        binary: EtcdBinary | str | os.PathLike[str] | Sequence[EtcdBinary] | None = None,
        extra_args: Sequence[str] = (),
        start_timeout: float = 20.0,
    ) -> None:
        if size < 1:
            raise UsageError(f"a cluster has at least one member, not {size}")
        if isinstance(binary, Sequence) and not isinstance(binary, str):
            if len(binary) != size:
                raise UsageError(f"{len(binary)} binaries are given for {size} members")
            self._binaries: list[EtcdBinary | str | os.PathLike[str] | None] = list(binary)
        else:
            self._binaries = [binary] * size
        self._extra_args = tuple(extra_args)
        self._start_timeout = start_timeout
        self._abandoned = threading.Event()
        self._members: tuple[EtcdServer, ...] = ()

    @property
    def members(self) -> tuple[EtcdServer, ...]:
        if not self._members:
            raise UsageError("this EtcdCluster is not started")
        return self._members

    @property
    def urls(self) -> list[str]:
        """Where clients find the members, dead ones too."""
        return [member.url for member in self.members]

    def __repr__(self) -> str:
        return f"<EtcdCluster {' '.join(self.urls) if self._members else 'not started'}>"

    def leader(self) -> EtcdServer:
        """The member that most of those that answer take for their leader; it is waited for.

        Raises: ServerError when there is none for 10 seconds.
        """
        by_name = {member.name: member for member in self.members}
        deadline = time.monotonic() + _LEADER_PATIENCE
        while time.monotonic() < deadline and not self._abandoned.is_set():
            votes = Counter(leader_of(urlsplit(member.url).port or 0) for member in self.members if member.running)
            for name, count in votes.items():
                if name in by_name and 2 * count > len(by_name) and by_name[name].running:
                    return by_name[name]
            time.sleep(_POLL)
        raise ServerError(f"{self!r} has no leader that most of its members know")

    def followers(self) -> list[EtcdServer]:
        """All members but the leader."""
        leader = self.leader()
        return [member for member in self.members if member is not leader]

    # -- from start to stop -----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start all members, and return once every one of them serves.

        Raises: ServerError when one does not; it brings etcd's log.
        """
        if self._members:
            raise UsageError(f"{self!r} is started already")
        try:
            for tries_left in reversed(range(_PORT_TRIES)):
                try:
                    self._start_members()
                except PortTakenError:
                    self.stop()
                    if not tries_left:
                        raise
                else:
                    return
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all members and remove their data. It always ends, and may be called twice."""
        members, self._members = self._members, ()
        _all_at_once([member.stop for member in members])

    def _start_members(self) -> None:
        size = len(self._binaries)
        ports = free_ports(2 * size)
        names = [f"member-{ports[2 * number]}" for number in range(size)]  # no other cluster's member has this name
        peers = ",".join(f"{name}=http://{HOST}:{ports[2 * number + 1]}" for number, name in enumerate(names))
        self._members = tuple(
            EtcdServer(
                binary=binary,
                name=name,
                ports=(ports[2 * number], ports[2 * number + 1]),
                extra_args=[
                    f"--initial-cluster={peers}",
                    f"--initial-cluster-token={names[0]}",
                    *_TIMING,
                    *self._extra_args,
                ],
                start_timeout=self._start_timeout,
            )
            for number, (name, binary) in enumerate(zip(names, self._binaries, strict=True))
        )
        for failure in _all_at_once([member.start for member in self._members]):
            raise failure

    def _abandon(self) -> None:
        self._abandoned.set()
        for member in self._members:
            member.abandon()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        self._abandoned = threading.Event()
        try:
            await run_to_end(self.start, when_cancelled=self._abandon)
        except asyncio.CancelledError:
            await run_to_end(self.stop)  # it may have been up at that very moment
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await run_to_end(self.stop)


def _all_at_once(works: Sequence[Callable[[], None]]) -> list[Exception]:
    """Do blocking work in threads of its own, all of it to its end; what was raised comes back, a taken port first."""
    failures: list[Exception] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as failure:
            failures.append(failure)

    with contextlib.ExitStack() as stack:
        for work in works:
            thread = threading.Thread(target=run, args=(work,))
            thread.start()
            stack.callback(thread.join)
    return sorted(failures, key=lambda failure: not isinstance(failure, PortTakenError))
