"""The methods of a session that tell of changes, and keep what they give current."""

from __future__ import annotations

import os
from pathlib import Path as FilePath
from typing import TypeVar

from etcdorm.errors import UsageError
from etcdorm.live import Feed, Hubs, Keeper, LastGood, Live, OnBehind, Table
from etcdorm.mapping import EtcdModel, Schema, schema_of

M = TypeVar("M", bound=EtcdModel)


class Watching:
    """A part of Session."""

    _hubs: Hubs
    _timeout: float

    def watch(
        self, model: type[M], /, *, buffer: int = 5000, on_behind: OnBehind = "collapse", **fields: object
    ) -> Feed[M]:
        """The records there are, then every change of them, in order: ``async with session.watch(Node) as changes``.

        One save is one change, however many keys it wrote. It resumes after any break; when etcd's history no longer
        reaches back, it reads anew and marks what differs with ``gap=True``. Key fields narrow it. All who watch the
        same records in a session share one connection.
        ``buffer`` is how many changes may wait to be taken. Beyond that, those of one record become one change, from
        what was told last to what is, marked with ``gap=True``, and ``fell_behind`` of the feed counts up; with
        ``on_behind="raise"``, the feed ends behind them with FellBehindError.
        """
        schema = schema_of(model)
        return Feed(self._hubs, schema, schema.collection(fields), buffer=buffer, on_behind=on_behind)

    def live(
        self,
        model: type[M],
        /,
        *key: object,
        default: M | None = None,
        last_good: str | os.PathLike[str] | None = None,
        patience: float = 3.0,
        **fields: object,
    ) -> Live[M]:
        """The newest valid value of one record, kept current: ``async with session.live(Config, "web") as live``.

        ``live.value`` takes no request, and can't be changed: change what is in etcd, with ``update``. An edit that
        does not fit the class is in ``live.error``, and the last valid value stays; a record that is deleted, or whose
        TTL runs out, has no value any more. ``default`` is for when there is none.
        With ``last_good``, a file, the last valid value is kept there as it is stored, and if etcd has not answered
        within ``patience`` seconds, it begins with what is in the file; ``live.stale`` is true until etcd answers.
        Raises: when the block is entered, and there is no such file: UnavailableError.
        """
        schema = schema_of(model)
        path = schema.path_from(key, fields)
        keeper = _keeper(schema, f"{self._hubs.namespace}{path}", last_good, patience)
        return Live(self._hubs, schema, path, default=default, keeper=keeper, timeout=self._timeout)

    def table(
        self,
        model: type[M],
        /,
        *,
        last_good: str | os.PathLike[str] | None = None,
        patience: float = 3.0,
        **fields: object,
    ) -> Table[M]:
        """All records of a class, kept current: ``async with session.table(Node) as nodes``, then ``nodes["n1"]``.

        It is a mapping from keys to the newest valid values, which can't be changed; what does not fit is in
        ``invalid``. Key fields narrow it. ``await nodes.reach(node)`` waits until a save of one's own is in it.
        ``last_good`` and ``patience`` are as in ``live``; ``nodes.ready`` is false until etcd has answered.
        Raises: when the block is entered, and there is no such file: UnavailableError.
        """
        schema = schema_of(model)
        collection = schema.collection(fields)
        prefix = f"{self._hubs.namespace}{collection.prefix}"
        narrowed = ", ".join([prefix, *(f"{name}={value}" for name, value in sorted(fields.items()))])
        keeper = _keeper(schema, narrowed, last_good, patience)
        return Table(self._hubs, schema, collection, keeper=keeper, timeout=self._timeout)


def _keeper(schema: Schema[M], of: str, last_good: str | os.PathLike[str] | None, patience: float) -> Keeper | None:
    if last_good is None:
        return None
    if isinstance(patience, bool) or not isinstance(patience, int | float) or not patience >= 0:
        raise UsageError(f"patience must be seconds, from 0 on, not {patience!r}")
    file = LastGood(FilePath(last_good), schema.name, schema.template.text, of)
    return Keeper(file, patience=patience)
