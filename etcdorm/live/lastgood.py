"""A file with the last valid records, to begin with while etcd is away."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path as FilePath
from typing import Final

from etcdorm.errors import PathError
from etcdorm.finish import end, to_end
from etcdorm.path import Path
from etcdorm.store import Record

_log = logging.getLogger("etcdorm.live")

_KIND: Final = "etcdorm last good"
_FORMAT: Final = 1
_LONGEST_HEAD: Final = 65_536

_EVERY: Final = 5.0
"""Seconds between two writings."""


class UnusableFile(Exception):
    """The file can't be begun with; the text tells why. It does not leave the package."""


class ForeignFile(UnusableFile):
    """It holds something else, and is not to be written over."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a file held, by path, and when that was written."""

    records: Mapping[Path, Mapping[str, str]]
    saved: str


@dataclass(frozen=True, slots=True)
class LastGood:
    """One file, for some records of one model class; ``of`` tells which.

    Its first line tells what it is, with a checksum of the rest: a line of JSON for each record, as it lies in etcd.
    """

    file: FilePath
    model: str
    template: str
    of: str

    def read(self) -> Loaded | None:
        """What is in it; None when there is no file.

        Raises: UnusableFile, ForeignFile.
        """
        try:
            head, _, body = self.file.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UnusableFile(f"it can't be read: {error.strerror}") from None
        saved = self._check(head)
        if saved.get("sha256") != hashlib.sha256(body).hexdigest():
            raise UnusableFile("it is damaged: its checksum is another one")
        try:
            return Loaded(dict(map(_record, body.splitlines())), str(saved.get("saved")))
        except (ValueError, PathError) as error:
            raise UnusableFile(f"it is damaged: {type(error).__name__}") from None

    def write(self, records: Mapping[Path, Mapping[str, str]]) -> None:
        """Replace the file, all of it or nothing; nobody else may read it.

        Raises: ForeignFile; OSError.
        """
        with suppress(FileNotFoundError), self.file.open("rb") as old:
            self._check(old.readline(_LONGEST_HEAD))
        body = b"".join(_line(path, fields) for path, fields in records.items())
        head = {
            "kind": _KIND,
            "format": _FORMAT,
            "model": self.model,
            "path": self.template,
            "of": self.of,
            "saved": datetime.now(UTC).isoformat(timespec="seconds"),
            "sha256": hashlib.sha256(body).hexdigest(),
        }
        descriptor, name = tempfile.mkstemp(prefix=f".{self.file.name}.", dir=self.file.parent)  # of mode 0600
        try:
            with os.fdopen(descriptor, "wb") as new:
                new.write(json.dumps(head).encode() + b"\n" + body)
                new.flush()
                os.fsync(new.fileno())
            FilePath(name).replace(self.file)
        except BaseException:
            FilePath(name).unlink()
            raise
        directory = os.open(self.file.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _check(self, head: bytes) -> dict[str, object]:
        """What the first line says; nothing for an empty file.

        Raises: ForeignFile.
        """
        if not head:
            return {}
        try:
            saved: object = json.loads(head)
        except ValueError:
            saved = None
        if not isinstance(saved, dict) or saved.get("kind") != _KIND:
            raise ForeignFile("it is no file of etcdorm's, and is left as it is; name another one")
        if saved.get("format") != _FORMAT:
            raise ForeignFile("it was written by another version of etcdorm, and is left as it is; remove it")
        if (saved.get("path"), saved.get("of")) != (self.template, self.of):
            raise ForeignFile(
                f"it holds {saved.get('model')}, path {saved.get('path')}, of {saved.get('of')}, and not {self.model}, "
                f"path {self.template}, of {self.of}; it is left as it is: remove it, or name another one"
            )
        return saved


class Keeper:
    """Keeps a file up to date with the last valid records, at most once in some seconds, and at the end."""

    def __init__(self, file: LastGood, *, patience: float) -> None:
        self.patience: float = patience
        self._file = file
        self._records: dict[Path, Mapping[str, str]] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def load(self) -> Loaded | None:
        """What is in the file; None, with a warning, when there is something else in it."""
        try:
            loaded = await asyncio.to_thread(self._file.read)
        except UnusableFile as error:
            _log.warning("%s: the last-good file is ignored: %s", self._file.file, error)
            return None
        if loaded is not None:
            self._records = dict(loaded.records)
        return loaded

    def note(self, valid: Mapping[Path, Record | None], invalid: AbstractSet[Path], *, whole: bool) -> None:
        """Take records that are valid (None: gone); of those that are not, what was valid last is kept.

        ``whole`` tells that there are no others.
        """
        if whole:
            self._records = {path: fields for path, fields in self._records.items() if path in invalid}
        for path, record in valid.items():
            if record is None:
                self._records.pop(path, None)
            else:
                self._records[path] = record.fields
        self._changed.set()
        if self._task is None:
            self._task = asyncio.create_task(self._keep(), name=f"etcdorm last good {self._file.file}")

    async def close(self) -> None:
        """Write what is not written yet."""
        if self._task is not None:
            await end(self._task)
            await self._write()

    async def _keep(self) -> None:
        while True:
            await self._changed.wait()
            await self._write()
            await asyncio.sleep(_EVERY)

    async def _write(self) -> None:
        if self._changed.is_set():
            self._changed.clear()
            # Not to be left behind when this is cancelled: it would write over what is written after it.
            await to_end(self._try_to_write())

    async def _try_to_write(self) -> None:
        try:
            await asyncio.to_thread(self._file.write, dict(self._records))
        except UnusableFile as error:
            _log.warning("%s: the last-good file is not written: %s", self._file.file, error)
        except OSError as error:
            self._changed.set()
            _log.warning("%s: the last-good file could not be written: %s", self._file.file, error.strerror)


def _line(path: Path, fields: Mapping[str, str]) -> bytes:
    return json.dumps({"path": str(path), "fields": dict(fields)}).encode() + b"\n"


def _record(line: bytes) -> tuple[Path, dict[str, str]]:
    found: object = json.loads(line)
    if (
        not isinstance(found, dict)
        or not isinstance(found.get("path"), str)
        or not isinstance(found.get("fields"), dict)
    ):
        raise ValueError("no record")
    return Path.parse(found["path"]), {str(name): str(text) for name, text in found["fields"].items()}
