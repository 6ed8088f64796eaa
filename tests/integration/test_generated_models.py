"""Generated models, saved to a real etcd, changed there, and loaded by another session: they come back equal."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etcdorm import EtcdModel, connect
from etcdorm.mapping.schema import Layout
from etcdorm.testing import EtcdServer
from tests.unit.mapping.generated import classes, edited, quiet


@pytest.mark.parametrize("layout", ["directory", "document"])
@given(data=st.data())
@settings(quiet, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_generated_model_comes_back_equal_from_etcd(etcd: EtcdServer, layout: Layout, data: st.DataObject) -> None:
    model, values = data.draw(classes(layout))
    first, second = data.draw(values), data.draw(values)
    goal = _changed(first, second)
    asyncio.run(_save_change_and_delete(etcd.url, model, first, goal))


async def _save_change_and_delete(url: str, model: type[EtcdModel], first: EtcdModel, goal: EtcdModel) -> None:
    async with connect(url) as session, connect(url) as other:
        saved = await session.save(first)
        assert saved.etcd is not None
        (found,) = await other.list(model)
        assert found == first
        changed = await session.save(_changed(saved, goal))
        assert changed == goal
        reloaded = await other.reload(found)
        assert reloaded == goal
        await other.delete(reloaded)
        assert await session.list(model) == []


def _changed(model: EtcdModel, by: EtcdModel) -> EtcdModel:
    return edited(model, by, type(model).model_fields.keys() - {"name"}, extras=True)
