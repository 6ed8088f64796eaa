"""Values may be secret: no repr of what goes through the store and the protocol holds any."""

from __future__ import annotations

import pytest

from etcdorm.mapping import Place
from etcdorm.path import Path
from etcdorm.store.types import Event, Record, StaleRecord, Version
from etcdorm.v2.protocol.apply import Saved
from etcdorm.v2.protocol.commit import Commit
from etcdorm.v2.protocol.snapshot import Key, Snapshot
from etcdorm.v2.protocol.steps import Append, Happened, Reserve, Seen, Swap

S = "s3cr3t"
AT = Path.parse("/nodes/n1")
KEY = Key(S, 7)
SNAPSHOT = Snapshot(AT, {"token": KEY, "@commit": Key(Commit("id", (), {"token": S}).text, 8)})
RECORD = Record(AT, {"token": S}, Version(7), 7, 7, detail=SNAPSHOT)


@pytest.mark.parametrize(
    "value",
    [
        RECORD,
        Event(AT, RECORD, RECORD),
        StaleRecord(RECORD),
        Place.of(RECORD),
        KEY,
        SNAPSHOT,
        Seen(SNAPSHOT),
        Saved(SNAPSHOT),
        Commit("id", (), {"token": S}),
        Swap(AT, S, 7),
        Reserve(AT, S, 5),
        Append(AT, S, 5),
        Happened(S, 6, 7),
    ],
)
def test_no_repr_has_a_value_in_it(value: object) -> None:
    assert S not in repr(value)
    assert repr(value).startswith(type(value).__name__)
