"""Clears away what is left of records, when a session meets them: their TTL ran out, or whoever deleted them died."""

from __future__ import annotations

import asyncio
import logging
import secrets

from etcdorm.errors import EtcdormError
from etcdorm.finish import end
from etcdorm.path import Path
from etcdorm.store.types import Owns, StaleRecord
from etcdorm.v2.client import Client
from etcdorm.v2.drive import drive, snapshot_of
from etcdorm.v2.protocol import remove

_log = logging.getLogger("etcdorm.store")


class Janitor:
    """One task, started at the first remains that are met, that clears them one after the other.

    Only what the model of the session owns is cleared: other keys in that directory may be other records. Any number
    of janitors may be at the same remains.
    """

    def __init__(self, client: Client, *, timeout: float) -> None:
        self._client = client
        self._timeout = timeout
        self._waiting: dict[Path, Owns] = {}
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def clear(self, path: Path, owns: Owns) -> None:
        """Note a record to clear, and return at once."""
        if self._closed:
            return
        self._waiting[path] = owns
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work(), name="etcdorm janitor")

    async def close(self) -> None:
        """Stop; what is not cleared yet waits for the next session that meets it."""
        self._closed = True
        if self._task is not None:
            await end(self._task)

    async def _work(self) -> None:
        while self._waiting:
            path, owns = next(iter(self._waiting.items()))
            try:
                snapshot = await snapshot_of(self._client, path, timeout=self._timeout)
                if snapshot.lapsed:
                    steps = remove.remove(snapshot, id=secrets.token_urlsafe(12), owns=owns)
                    await drive(self._client, steps, timeout=self._timeout)
                elif snapshot.litter and snapshot.commit is not None:
                    await drive(self._client, remove.clear(path, snapshot.commit.id, owns), timeout=self._timeout)
            except (EtcdormError, StaleRecord) as error:
                _log.debug("%s: what is left of it could not be cleared: %s", path, error)
            del self._waiting[path]
