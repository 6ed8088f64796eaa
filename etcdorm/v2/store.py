"""The store port on etcd v2."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace

from etcdorm.errors import DecodeError, EtcdormError, UsageError
from etcdorm.path import Path
from etcdorm.store.types import KEEP, Collection, Event, Owns, Record, Step, Ttl
from etcdorm.v2.client import Client
from etcdorm.v2.drive import drive
from etcdorm.v2.errors import EtcdKeyNotFound, EtcdNotDir, EtcdRefused
from etcdorm.v2.janitor import Janitor
from etcdorm.v2.line import Line, check_name
from etcdorm.v2.protocol import append, document, remove, save
from etcdorm.v2.protocol.apply import Saved
from etcdorm.v2.protocol.fence import with_fence
from etcdorm.v2.protocol.packed import Packed, Packer
from etcdorm.v2.protocol.snapshot import Snapshot
from etcdorm.v2.protocol.steps import Steps, T
from etcdorm.v2.protocol.touch import touch
from etcdorm.v2.replica import Replica, Stepwise
from etcdorm.v2.request import LONGEST_TTL, check_length
from etcdorm.v2.result import Node
from etcdorm.v2.watch import Watch

_log = logging.getLogger("etcdorm.store")


class V2Store:
    """Records on etcd v2, by the commit protocol (design, "Atomic saves"); it owns the client and closes it.

    ``timeout`` is the deadline of each call in seconds, over all requests of it.
    """

    def __init__(self, client: Client, *, timeout: float = 10.0) -> None:
        self._client = client
        self._timeout = timeout
        self._janitor = Janitor(client, timeout=timeout)
        self._packer = Packer()

    @property
    def endpoints(self) -> tuple[str, ...]:
        return self._client.endpoints

    @property
    def namespace(self) -> str:
        return ""

    async def origin(self) -> str:
        if not self._client.cluster_id:
            with suppress(EtcdRefused):  # a refusal tells it too
                await self._client.read("/", timeout=self._timeout)
        return self._client.cluster_id

    async def read(self, path: Path, *, fresh: bool = False, owns: Owns | None = None) -> Record | None:
        try:
            result = await self._client.read(str(path), recursive=True, quorum=fresh, timeout=self._timeout)
        except (EtcdKeyNotFound, EtcdNotDir):
            return None
        return self._seen(path, result.node, owns)

    async def scan(
        self, collection: Collection, *, owns: Owns | None = None, after: Path | None = None
    ) -> Iterator[Record | DecodeError]:
        node, _ = await self._read_all(collection.prefix)
        if node is None:
            return iter(())
        return self._each_seen(_split(collection, node, after), owns)

    async def create(
        self, path: Path, fields: Mapping[str, str], *, owns: Owns, ttl: int | None = None, token: int | None = None
    ) -> Record:
        _check_ttl(ttl)
        if "" in fields:
            text = with_fence(fields[""], token)
            return self._record(await self._drive(document.create(path, text, id=_new_id(), owns=owns, ttl=ttl)))
        _check_shape(path, list(fields))
        steps = save.create(path, fields, id=_new_id(), owns=owns, ttl=ttl, token=token)
        return self._saved(await self._drive(steps), ttl)

    async def commit(
        self, base: Record, changes: Mapping[str, str | None], *, ttl: Ttl = KEEP, token: int | None = None
    ) -> Record:
        snapshot = _snapshot(base)
        if ttl is not KEEP:
            _check_ttl(ttl)
        if snapshot.is_document:
            text = changes.get("", base.fields[""])
            if text is None:
                raise UsageError(f"{base.path}: a document's only key can't be deleted by a change; remove the record")
            return self._record(await self._drive(document.change(snapshot, text, ttl=ttl, token=token)))
        written = [name for name, text in changes.items() if text is not None]
        _check_shape(base.path, written, base.fields.keys() - changes.keys())
        steps = save.change(snapshot, changes, id=_new_id(), ttl=ttl, token=token)
        return self._saved(await self._drive(steps), ttl)

    async def fence(self, base: Record, token: int) -> Record:
        snapshot = _snapshot(base)
        if snapshot.is_document:
            return self._record(await self._drive(document.fence(snapshot, token)))
        steps = save.change(snapshot, {}, id=_new_id(), token=token, takes=True)
        return self._saved(await self._drive(steps), KEEP)

    async def remove(self, base: Record, *, owns: Owns, token: int | None = None, prune: bool = False) -> None:
        snapshot = _snapshot(base)
        if snapshot.is_document:
            await self._drive(document.remove(snapshot, token=token))
        else:
            await self._drive(remove.remove(snapshot, id=_new_id(), owns=owns, token=token))
        if prune:
            with suppress(EtcdormError):  # something is there again, or nobody answers: it is only an empty directory
                await self._client.delete(str(base.path.parent), dir=True, timeout=self._timeout)

    async def append(self, directory: Path, text: str, *, ttl: int | None = None) -> Record:
        _check_ttl(ttl)
        return self._record(await self._drive(append.append(directory, text, id=_new_id(), ttl=ttl)))

    async def sequence(self, collection: Collection, *, after: str = "", fresh: bool = False) -> list[Record]:
        line = Line(collection, after, self._cluster_id)
        node, index = await self._read_all(collection.prefix, quorum=fresh)
        if after > f"{index:020}":  # a member that is behind
            node, index = await self._read_all(collection.prefix, quorum=True)
        return line.replace(node, index)

    def check_name(self, name: str) -> None:
        check_name(name)

    async def touch(self, base: Record, *, ttl: int) -> Record:
        _check_ttl(ttl)
        if base.ttl is None:
            raise UsageError(f"{base.path} has no TTL to put off; give it one by saving it with ttl=")
        snapshot = _snapshot(base)
        if snapshot.is_document:
            return self._record(await self._drive(document.touch(snapshot, ttl)))
        return replace(base, ttl=ttl, detail=await self._drive(touch(snapshot, ttl)))

    def watch(self, collection: Collection) -> AbstractAsyncContextManager[Watch[Event]]:
        return Watch(self._client, collection.prefix, Replica(collection, self._cluster_id), timeout=self._timeout)

    def observe(self, collection: Collection) -> AbstractAsyncContextManager[Watch[Step]]:
        steps = Stepwise(Replica(collection, self._cluster_id))
        return Watch(self._client, collection.prefix, steps, timeout=self._timeout)

    def follow(self, collection: Collection, *, after: str | None = "") -> AbstractAsyncContextManager[Watch[Record]]:
        return Watch(self._client, collection.prefix, Line(collection, after, self._cluster_id), timeout=self._timeout)

    async def close(self) -> None:
        try:
            await self._janitor.close()
        finally:
            await self._client.close()

    async def _read_all(self, prefix: Path, *, quorum: bool = False) -> tuple[Node | None, int]:
        """All that lies below a prefix, and the index of the store then."""
        try:
            result = await self._client.read(str(prefix), recursive=True, quorum=quorum, timeout=self._timeout)
        except (EtcdKeyNotFound, EtcdNotDir) as error:
            return None, error.index
        return result.node, result.etcd_index

    def _cluster_id(self) -> str:
        return self._client.cluster_id

    def _record(self, snapshot: Snapshot) -> Record:
        record = snapshot.record(self._client.cluster_id)
        assert record is not None
        return record

    def _drive(self, steps: Steps[T]) -> Awaitable[T]:
        return drive(self._client, steps, timeout=self._timeout)

    def _seen(self, path: Path, node: Node, owns: Owns | None) -> Record | None:
        usual = self._packer.read(path, node, self._client.cluster_id)
        if usual is not None:
            return usual
        snapshot = Snapshot.of_node(path, node)
        if owns is not None and snapshot.litter:
            self._janitor.clear(snapshot.path, owns)
        return snapshot.record(self._client.cluster_id)

    def _each_seen(self, nodes: Iterable[tuple[Path, Node]], owns: Owns | None) -> Iterator[Record | DecodeError]:
        for path, node in nodes:
            try:
                record = self._seen(path, node, owns)
            except DecodeError as error:
                yield error
            else:
                if record is not None:
                    yield record

    def _saved(self, saved: Saved, ttl: Ttl) -> Record:
        path = saved.snapshot.path
        if saved.overwritten:
            names = ", ".join(sorted(saved.overwritten))
            _log.warning("%s: the save replaced what another tool had written meanwhile to: %s", path, names)
        if saved.unapplied is not None:
            _log.warning("%s: saved, but its plain keys are not all up to date yet: %s", path, saved.unapplied)
        record = self._record(saved.snapshot)
        return record if ttl is KEEP else replace(record, ttl=ttl)


def _split(collection: Collection, node: Node, after: Path | None) -> Iterator[tuple[Path, Node]]:
    """The nodes of the collection's records in one answer, those behind ``after`` alone.

    In the order of the answer, as its parts lie in memory in that order. Each is let go of when the next one is asked
    for, as all of them may be much.
    """

    def below(directory: tuple[str, ...], node: Node) -> Iterator[tuple[Path, Node]]:
        if len(directory) == collection.depth:
            yield Path(directory), node
            return
        children = node.pop("nodes", [])
        children.reverse()
        is_deeper = len(directory) + 1 < collection.depth
        while children:
            child = children.pop()
            segments = (*directory, child["key"].rpartition("/")[2])
            if is_deeper:
                yield from below(segments, child)
            elif after is None or segments > after.segments:
                path = Path(segments)
                if collection.matches(path):
                    yield path, child

    return below(collection.prefix.segments, node)


def _snapshot(base: Record) -> Snapshot:
    detail = base.detail
    if not isinstance(detail, Packed | Snapshot):
        raise UsageError(f"{base.path}: this record was not read from an etcd v2")
    if detail.path != base.path:
        raise UsageError(f"{base.path}: this record was read from {detail.path}")
    return detail.unpack() if isinstance(detail, Packed) else detail


def _check_ttl(ttl: int | None) -> None:
    if ttl is not None and (isinstance(ttl, bool) or not isinstance(ttl, int) or not 1 <= ttl <= LONGEST_TTL):
        raise UsageError(f"ttl must be whole seconds from 1 to {LONGEST_TTL}, not {ttl!r}")


def _check_shape(path: Path, written: Sequence[str], kept: Set[str] = frozenset()) -> None:
    """Refuse a record of which etcd would take only a part: a name that is both a key and a directory, or too long."""
    for name in written:
        check_length(path / name)
    names = {*written, *kept}
    if "/" not in "".join(names):  # mostly so
        return
    for name in names:
        if "/" not in name:
            continue
        parts = name.split("/")
        for length in range(1, len(parts)):
            if (above := "/".join(parts[:length])) in names:
                if name in written:
                    raise UsageError(
                        f"{path}/{above} holds a value in etcd, so {path}/{name} can't be written below it; "
                        "delete that key, or rename the field"
                    )
                raise UsageError(
                    f"{path}/{above} is a directory in etcd, with {path}/{name} in it, so no value can be written to "
                    "it; delete what lies in it, or rename the field"
                )


def _new_id() -> str:
    return secrets.token_urlsafe(12)
