"""What two sessions and another tool do to a few records, told by plain dicts: what every call must return or raise.

It says what the docs say, and nothing of how it is done. ``Node`` lies in a directory: its entry holds every plain key,
those of other tools included. ``Doc`` is one key. Nothing here is concurrent, and no answer is lost.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Literal

from etcdorm import (
    AlreadyExistsError,
    ConflictError,
    DecodeError,
    EtcdormError,
    LeaseLapsedError,
    NotFoundError,
    UsageError,
)
from etcdorm.session.conflicts import OnConflict
from etcdorm.store import KEEP, Ttl

Kind = Literal["nodes", "docs"]
Keys = dict[str, tuple[str, int]]
"""Plain keys by relative name: the text, and which creation of the key it is."""
FIELDS = ("host", "port", "labels")


class Predicted(Exception):
    """The call raises exactly this."""

    def __init__(self, kind: type[EtcdormError]) -> None:
        super().__init__(kind.__name__)
        self.kind = kind


class Stale(Exception):
    """The record is not as it was loaded; ``current`` is what is there of the model."""

    def __init__(self, current: Entry | None) -> None:
        super().__init__()
        self.current = current


@dataclass(frozen=True)
class Values:
    host: str = "h"
    port: int = 8080
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """What lies at one path, or what an object knows of it. ``keys`` of a document has the one name ``""``.

    ``version`` is what a save compares: None where no session ever saved a directory. ``life`` is that of the lease,
    and ``ttl`` what it was last set to. ``remains`` is what is left of a record that does not exist.
    """

    keys: Keys
    version: int | None = None
    life: int | None = None
    ttl: int | None = None
    remains: bool = False

    @property
    def is_document(self) -> bool:
        return "" in self.keys

    @property
    def is_record(self) -> bool:
        """Whether there is a record of the model."""
        return not self.remains and (self.version is not None or any(is_owned(name) for name in self.keys))

    def texts(self) -> dict[str, str]:
        return {name: text for name, (text, _) in self.keys.items()}

    def values(self) -> Values:
        """Raises: Predicted, a DecodeError."""
        texts = self.texts()
        if self.is_document:
            try:
                members = json.loads(texts[""])
            except ValueError:
                raise Predicted(DecodeError) from None
            return Values(**{name: members[name] for name in FIELDS if name in members})
        if not re.fullmatch(r"\d+", texts.get("port", "8080")):
            raise Predicted(DecodeError)
        labels = {name.removeprefix("labels/"): text for name, text in texts.items() if name.startswith("labels/")}
        return Values(texts.get("host", "h"), int(texts.get("port", "8080")), labels)


@dataclass
class Held:
    """An object in memory: its values, and the record as it was loaded or saved."""

    kind: Kind
    name: str
    values: Values
    base: Entry | None = None

    @property
    def path(self) -> str:
        return f"/{self.kind}/{self.name}"


def is_owned(name: str) -> bool:
    return name in ("", "host", "port") or name.startswith("labels/")


def as_keys(values: Values) -> dict[str, str]:
    labels = {f"labels/{name}": text for name, text in values.labels.items()}
    return {"host": values.host, "port": str(values.port), **labels}


def as_document(values: Values, onto: str | None) -> str:
    """With the members that the model does not know of what is there."""
    try:
        unknown = {name: value for name, value in json.loads(onto or "{}").items() if name not in FIELDS}
    except ValueError:
        unknown = {}
    members = {"host": values.host, "port": values.port, "labels": values.labels}
    return json.dumps({**unknown, **members}, separators=(",", ":"))


class Oracle:
    """``entries`` by path; ``warned`` are the keys of which the last save says that it replaced an edit."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.warned: set[str] = set()
        self._count = count(1)

    # -- what sessions read ----------------------------------------------------------------------------------------

    def found(self, path: str) -> Entry | None:
        entry = self.entries.get(path)
        return entry if entry is not None and entry.is_record else None

    def load(self, kind: Kind, name: str) -> Held:
        """Raises: Predicted."""
        entry = self.found(f"/{kind}/{name}")
        if entry is None:
            raise Predicted(NotFoundError)
        return Held(kind, name, entry.values(), entry)

    def names(self, kind: Kind) -> list[str]:
        paths = [path for path in sorted(self.entries) if path.startswith(f"/{kind}/") and self.found(path)]
        return [path.rpartition("/")[2] for path in paths]

    def reload(self, held: Held) -> None:
        """Raises: Predicted."""
        fresh = self.load(held.kind, held.name)
        held.values, held.base = fresh.values, fresh.base

    # -- what sessions write ---------------------------------------------------------------------------------------

    def save(self, held: Held, on_conflict: OnConflict, ttl: Ttl) -> None:
        """Raises: Predicted."""
        self.warned = set()
        wanted, base = held.values, held.base
        target = self.found(held.path) if on_conflict == "overwrite" else base
        try:
            try:
                saved = self._write(held, wanted, target, ttl)
            except Stale as stale:
                if base is None:
                    raise Predicted(AlreadyExistsError) from None
                if stale.current is None or on_conflict == "raise":
                    raise
                wanted = _merged(base, wanted, stale.current)
                saved = self._write(held, wanted, stale.current, ttl)
        except Stale as stale:
            raise self._refused(held, stale) from None
        held.values, held.base = wanted, saved

    def delete(self, held: Held) -> None:
        """Raises: Predicted."""
        if held.base is None:
            raise Predicted(UsageError)
        try:
            entry = self._compared(held.path, held.base)
        except Stale as stale:
            raise self._refused(held, stale) from None
        held.base = None
        if entry.remains:
            raise Predicted(LeaseLapsedError)
        left = {name: key for name, key in entry.keys.items() if not is_owned(name)}
        self._put(held.path, Entry(left, remains=True) if left else None)

    def refresh(self, held: Held, ttl: int) -> None:
        """Raises: Predicted."""
        if held.base is None or held.base.ttl is None:
            raise Predicted(UsageError)
        entry = self.found(held.path)
        if entry is None or entry.life != held.base.life:
            held.base = None
            raise Predicted(LeaseLapsedError)
        if entry.ttl is None:
            raise Predicted(UsageError)
        self._put(held.path, replace(entry, ttl=ttl))
        held.base = replace(held.base, ttl=ttl)

    # -- what other tools do ---------------------------------------------------------------------------------------

    def set_key(self, path: str, name: str, text: str) -> None:
        made = next(self._count)
        entry = self.entries.get(path, Entry({}))
        if name == "":
            self._put(path, Entry({"": (text, made)}, made, made))
        else:
            self._put(path, replace(entry, keys={**entry.keys, name: (text, made)}))

    def delete_key(self, path: str, name: str) -> None:
        entry = self.entries[path]
        left = {other: key for other, key in entry.keys.items() if other != name}
        self._put(path, replace(entry, keys=left) if name else None)

    def delete_all(self, path: str) -> None:
        self._put(path, None)

    def lapse(self, path: str) -> None:
        """The TTL of a record runs out; what is left of it lies there until somebody meets it."""
        entry = self.entries[path]
        self._put(path, None if entry.is_document else replace(entry, remains=True))

    def clear(self, path: str) -> None:
        """Somebody has met what is left of a record. What other tools have set after a delete stays, and is unseen."""
        entry = self.entries.get(path)
        if entry is not None and entry.remains:
            is_deleted = entry.version is None
            left = {name: key for name, key in entry.keys.items() if is_deleted or not is_owned(name)}
            self._put(path, Entry(left, remains=True) if left else None)

    # -- how -------------------------------------------------------------------------------------------------------

    def _put(self, path: str, entry: Entry | None) -> None:
        if entry is None or (not entry.keys and entry.version is None and not entry.remains):
            self.entries.pop(path, None)
        else:
            self.entries[path] = entry

    def _compared(self, path: str, base: Entry) -> Entry:
        """What is there, which is as it was loaded. Edits by other tools are seen where no session has saved.

        Raises: Stale.
        """
        entry = self.entries.get(path)
        if entry is not None and not base.is_document and base.version is not None and entry.version == base.version:
            return entry  # be it only the remains of it
        if entry is None or not entry.is_record:
            raise Stale(None)
        if base.is_document and (entry.keys, entry.life) == (base.keys, base.life):
            return entry
        if not base.is_document and base.version is None and (entry.version, entry.keys) == (None, base.keys):
            return entry
        raise Stale(entry)

    def _write(self, held: Held, wanted: Values, target: Entry | None, ttl: Ttl) -> Entry:
        """Make the record hold this; what the object knows of it then. ``target`` is what is to be there.

        Raises: Stale; Predicted, a LeaseLapsedError.
        """
        if target is None:
            return self._create(held, wanted, None if ttl is KEEP else ttl)
        if held.kind == "docs":
            return self._write_document(held.path, wanted, target, ttl)
        changed = _changes(wanted, target)
        if not changed and ttl is KEEP:
            return target
        entry = self._compared(held.path, target)
        version = next(self._count)
        if entry.remains:
            self._put(held.path, replace(entry, version=version))
            held.base = None
            raise Predicted(LeaseLapsedError)
        known, there = target.texts(), entry.texts()
        edited = {name for name, text in changed.items() if there.get(name) not in (None, text, known.get(name))}
        self.warned = edited if target.version is not None else set()
        life = next(self._count) if entry.life is None and isinstance(ttl, int) else entry.life
        seconds = entry.ttl if ttl is KEEP else ttl
        after = replace(entry, keys=self._changed(entry.keys, changed), version=version, life=life, ttl=seconds)
        self._put(held.path, after)
        return replace(after, keys=self._changed(target.keys, changed))

    def _write_document(self, path: str, wanted: Values, target: Entry, ttl: Ttl) -> Entry:
        ((known, made),) = target.keys.values()
        text = as_document(wanted, known)
        try:
            if text == as_document(target.values(), known):
                text = known
        except Predicted:
            pass
        if text == known and ttl is KEEP:
            return target
        entry = self._compared(path, target)
        after = replace(entry, keys={"": (text, made)}, ttl=entry.ttl if ttl is KEEP else ttl)
        self._put(path, after)
        return after

    def _create(self, held: Held, wanted: Values, ttl: int | None) -> Entry:
        entry = self.entries.get(held.path)
        if entry is not None and entry.is_record:
            raise Stale(entry)
        version, life = next(self._count), next(self._count)
        if held.kind == "docs":
            after = Entry({"": (as_document(wanted, None), version)}, version, life, ttl)
            self._put(held.path, after)
            return after
        others = {} if entry is None else {name: key for name, key in entry.keys.items() if not is_owned(name)}
        made = self._changed(others, dict(as_keys(wanted)))
        after = Entry(made, version, life if ttl is not None else None, ttl)
        self._put(held.path, after)
        return after

    def _changed(self, keys: Keys, changed: Mapping[str, str | None]) -> Keys:
        after = dict(keys)
        for name, text in changed.items():
            if text is None:
                after.pop(name, None)
            else:
                after[name] = (text, keys[name][1] if name in keys else next(self._count))
        return after

    def _refused(self, held: Held, stale: Stale) -> Predicted:
        if stale.current is not None:
            return Predicted(ConflictError)
        assert held.base is not None
        had_ttl, held.base = held.base.ttl is not None, None
        return Predicted(LeaseLapsedError if had_ttl else NotFoundError)


def _changes(wanted: Values, target: Entry) -> dict[str, str | None]:
    """Only what differs is written: what reads the same stays as it is spelt, or absent."""
    after, stored = as_keys(wanted), target.texts()
    try:
        before = as_keys(target.values())
    except Predicted:
        before = {name: text for name, text in stored.items() if is_owned(name)}
    changed: dict[str, str | None] = {name: text for name, text in after.items() if before.get(name) != text}
    return changed | {name: None for name in before if name not in after}


def _merged(base: Entry, mine: Values, current: Entry) -> Values:
    """Raises: Predicted, a ConflictError, where both edited one value, and not alike."""
    try:
        before, theirs = base.values(), current.values()
    except Predicted:
        raise Predicted(ConflictError) from None

    def one(was: object, my: object, their: object) -> object:
        if was == their or my == their:
            return my
        if was != my:
            raise Predicted(ConflictError)
        return their

    host = one(before.host, mine.host, theirs.host)
    port = one(before.port, mine.port, theirs.port)
    if before.labels == theirs.labels:
        labels = dict(mine.labels)
    elif before.labels == mine.labels:
        labels = dict(theirs.labels)
    elif mine.labels == theirs.labels:
        labels = dict(mine.labels)
    else:
        names = dict.fromkeys((*mine.labels, *theirs.labels, *before.labels))
        entries = {each: one(before.labels.get(each), mine.labels.get(each), theirs.labels.get(each)) for each in names}
        labels = {each: str(entry) for each, entry in entries.items() if entry is not None}
    return Values(str(host), int(str(port)), labels)
