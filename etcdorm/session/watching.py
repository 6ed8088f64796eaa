"""The methods of a session that tell of changes, and keep what they give current."""

from __future__ import annotations

from typing import TypeVar

from etcdorm.live import Feed, Hubs, OnBehind
from etcdorm.mapping import EtcdModel, schema_of

M = TypeVar("M", bound=EtcdModel)


class Watching:
    """A part of Session."""

    _hubs: Hubs
    _timeout: float

    def watch(
        self, model: type[M], /, *, buffer: int = 1000, on_behind: OnBehind = "collapse", **fields: object
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
