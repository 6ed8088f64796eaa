"""A real etcd cluster for as long as a block lasts: several members on this machine's loopback."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from etcdorm.embedded.binary import EtcdBinary
from etcdorm.embedded.block import Block
from etcdorm.embedded.command import HOST
from etcdorm.embedded.network import Network
from etcdorm.embedded.probe import free_ports, leader_of
from etcdorm.embedded.server import EtcdServer, PortTakenError
from etcdorm.errors import ServerError, UsageError

_PORT_TRIES = 5
_LEADER_PATIENCE = 10.0
_POLL = 0.02

# Slower than a single member's: several share the processors, and one that is late must not lose its leader for it.
_TIMING = ("--heartbeat-interval=50", "--election-timeout=500")


class EtcdCluster(Block):
    """A real etcd cluster: ``async with EtcdCluster() as cluster``, or ``with``, or ``start()`` and ``stop()``.

    Each of its ``members`` is an :class:`EtcdServer`, to be killed, restarted, paused and resumed. ``binary`` is one
    for all members, or a sequence with one for each. ``extra_args`` are given to every member. With ``partitions`` they
    reach each other through ports of this process, which :meth:`isolate` closes. The data lives in temporary
    directories and goes with the cluster, which never outlives this process.

    As with :class:`EtcdServer`, the plain methods block; in asyncio code call them by ``asyncio.to_thread``.
    """

    def __init__(
        self,
        size: int = 3,
        *,
        binary: EtcdBinary | str | os.PathLike[str] | Sequence[EtcdBinary] | None = None,
        extra_args: Sequence[str] = (),
        partitions: bool = False,
        start_timeout: float = 20.0,
    ) -> None:
        super().__init__()
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
        self._partitions = partitions
        self._members: tuple[EtcdServer, ...] = ()
        self._network: Network | None = None
        self._peer_ports: dict[str, int] = {}

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
        while time.monotonic() < deadline and not self.abandoned.is_set():
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

    def isolate(self, *members: EtcdServer) -> None:
        """Cut each of these members off from all others, and them alone; clients still reach them.

        Raises: UsageError for a cluster without ``partitions``.
        """
        if self._network is None:
            raise UsageError("members can be isolated in a cluster that was made for it: EtcdCluster(partitions=True)")
        self._network.isolate(frozenset(self._peer_ports[member.name] for member in members))

    def rejoin(self) -> None:
        """Let all members reach each other again."""
        self.isolate()

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
        if self._network is not None:
            self._network.stop()
            self._network = None

    def _start_members(self) -> None:
        size = len(self._binaries)
        ports = free_ports(3 * size)
        clients, listened, advertised = ports[:size], ports[size : 2 * size], ports[2 * size :]
        if not self._partitions:
            advertised = listened
        names = [f"member-{port}" for port in clients]  # no other cluster's member has this name
        self._peer_ports = dict(zip(names, advertised, strict=True))
        urls = {name: f"http://{HOST}:{port}" for name, port in self._peer_ports.items()}
        everybody = ",".join(f"{name}={url}" for name, url in urls.items())
        if self._partitions:
            self._network = Network(dict(zip(advertised, listened, strict=True)))
            try:
                self._network.start()
            except OSError as error:
                raise PortTakenError(f"a port for the members of a cluster can't be opened: {error}") from error
        self._members = tuple(
            EtcdServer(
                binary=binary,
                name=name,
                ports=(client, peer),
                extra_args=[
                    f"--initial-advertise-peer-urls={urls[name]}",
                    f"--initial-cluster={everybody}",
                    f"--initial-cluster-token={names[0]}",
                    *_TIMING,
                    *self._extra_args,
                ],
                start_timeout=self._start_timeout,
            )
            for name, binary, client, peer in zip(names, self._binaries, clients, listened, strict=True)
        )
        for failure in _all_at_once([member.start for member in self._members]):
            raise failure

    def abandon(self) -> None:
        """Let a ``start`` that another thread is in give up soon."""
        super().abandon()
        for member in self._members:
            member.abandon()


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
