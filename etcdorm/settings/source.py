"""A source of pydantic-settings that reads one record of etcd."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from etcdorm.connect import connect
from etcdorm.errors import NotFoundError
from etcdorm.path import Path
from etcdorm.session import Session
from etcdorm.settings.names import FieldPath
from etcdorm.settings.values import Values

Etcd: TypeAlias = str | Sequence[str] | Callable[[], AbstractAsyncContextManager[Session]]


class EtcdSettingsSource(PydanticBaseSettingsSource):
    """The record at ``path`` as a source of settings, in either layout, as an EtcdModel with the same fields has it.

    ``etcd`` is what ``connect`` takes for endpoints, or a function that connects, for all else that it can be told:
    ``lambda: connect(url, username=...)``. It goes into ``settings_customise_sources``; its place there says what it
    overrides. Where there is no record the other sources and the defaults are all there is, unless it is ``required``.

    ``Settings()`` is no coroutine, so each reads etcd once in a thread with a loop of its own, and waits for it. In
    async code, call it before the loop runs, by ``asyncio.to_thread``, or use ``live_settings``.
    Units: ``timeout`` in seconds, for endpoints; a function that connects says it itself.
    Raises, when settings are made: UnavailableError when no etcd answers; NotFoundError when the record is required;
        DecodeError; UsageError for a path or endpoint that can't be one.
    """

    def __init__(
        self,
        settings_cls: type[BaseSettings],
        etcd: Etcd,
        *,
        path: str,
        required: bool = False,
        timeout: float = 5.0,
    ) -> None:
        super().__init__(settings_cls)
        self.path = Path.parse(path)
        self.values = Values(settings_cls, self.path)
        self._etcd = etcd
        self._required = required
        self._timeout = timeout
        self._fields: Mapping[str, str] | None = None
        self._is_fed = False

    def connect(self) -> AbstractAsyncContextManager[Session]:
        """A session on the etcd that the record lies in."""
        if isinstance(self._etcd, str) or not callable(self._etcd):
            return connect(self._etcd, timeout=self._timeout)
        return self._etcd()

    def feed(self, fields: Mapping[str, str] | None) -> None:
        """Take these fields for the record (None: there is none) instead of reading it."""
        self._fields, self._is_fed = fields, True

    def where(self, field: FieldPath) -> str:
        """The key of a field in the record as it was read."""
        return self.values.key(field, in_document=self._fields is not None and "" in self._fields)

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Part of the interface of sources that go field by field, which this one does not."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        if not self._is_fed:
            with ThreadPoolExecutor(1, "etcdorm settings") as pool:
                self._fields = pool.submit(lambda: asyncio.run(self._fetch())).result()
        if self._fields is None and self._required:
            raise NotFoundError(f"{self.path}: there are no settings for {self.settings_cls.__name__}")
        return dict(self.values.read(self._fields or {}))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path})"

    async def _fetch(self) -> Mapping[str, str] | None:
        async with self.connect() as session:
            record = await session.store.read(self.path, owns=self.values.owns)
            return None if record is None else record.fields
