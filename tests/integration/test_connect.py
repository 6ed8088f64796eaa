"""``connect`` with an etcd of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from etcdorm import UnavailableError, connect
from tests.support.models import Node


async def test_an_embedded_etcd_ends_with_its_session() -> None:
    async with connect("embedded:") as session:
        await session.save(Node(name="n1"))
        (url,) = session.endpoints
    async with connect(url, timeout=0.3) as late:
        with pytest.raises(UnavailableError):
            await late.get(Node, "n1")


async def test_an_embedded_etcd_with_a_directory_keeps_its_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with connect("embedded:./data") as session:
        node = await session.save(Node(name="n1", labels={"a": "1"}))
    assert (tmp_path / "data").is_dir()
    async with connect("embedded:./data") as session:
        assert await session.load(Node, "n1") == node


async def test_two_sessions_with_an_etcd_each_never_meet() -> None:
    async with connect("embedded:") as one, connect("embedded:") as two:
        await one.save(Node(name="n1"))
        assert await two.list(Node) == []
