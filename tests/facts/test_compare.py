"""Facts, section 4: compare-and-swap, compare-and-delete, and what a request that is sent twice is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from etcdorm import UsageError
from etcdorm.testing import EtcdServer, Fate, FaultProxy
from etcdorm.testing.faults import first
from etcdorm.v2 import Client, EtcdCompareFailed, EtcdUnconfirmed
from tests.support.wire import Raw


async def test_a_failed_comparison_says_what_differs_values_and_all(raw: Raw, client: Client) -> None:
    index = (await raw.put("/key", "value=1")).index
    cause = f"[{index + 9} != {index}]"
    assert (await raw.put("/key", f"value=b&prevIndex={index + 9}")).json == {
        "errorCode": 101,
        "message": "Compare failed",
        "cause": cause,
        "index": index,
    }
    assert (await raw.put("/key", "value=b&prevValue=bad")).json["cause"] == "[bad != 1]"
    both = await raw.put("/key", f"value=b&prevValue=bad&prevIndex={index + 9}")
    assert both.json["cause"] == f"[bad != 1] {cause}"
    # The client keeps the values out of the error's text; who wants them finds them in .cause.
    with pytest.raises(EtcdCompareFailed) as caught:
        await client.write("/key", "b", prevValue="bad")
    assert "bad" not in str(caught.value)
    assert caught.value.cause == "[bad != 1]"


async def test_both_conditions_must_hold(raw: Raw) -> None:
    index = (await raw.put("/key", "value=a")).index
    assert (await raw.put("/key", f"value=b&prevValue=x&prevIndex={index}")).says == (412, 101)
    assert (await raw.put("/key", f"value=b&prevValue=a&prevIndex={index + 1}")).says == (412, 101)
    assert (await raw.put("/key", f"value=b&prevValue=a&prevIndex={index}")).says == (200, "compareAndSwap")


async def test_a_prev_index_of_0_is_no_condition(raw: Raw, client: Client) -> None:
    assert (await raw.put("/key", "value=a&prevIndex=0")).says == (201, "set")
    assert (await raw.put("/key", "value=b&prevIndex=0")).says == (200, "set")
    assert (await raw.delete("/key?prevIndex=0")).says == (200, "delete")
    with pytest.raises(UsageError, match="0 for no condition"):
        await client.write("/key", "a", prevIndex=0)
    with pytest.raises(UsageError, match="0 for no condition"):
        await client.delete("/key", prevIndex=0)


async def test_a_prev_index_that_is_no_number_is_error_203(raw: Raw) -> None:
    assert (await raw.put("/key", "value=a&prevIndex=x")).says == (400, 203)


async def test_an_empty_value_can_only_be_compared_by_its_index(raw: Raw, client: Client) -> None:
    index = (await raw.put("/key", "value=")).index
    assert (await raw.put("/key", "value=b&prevValue=")).says == (400, 201)
    with pytest.raises(UsageError, match="by prevIndex"):
        await client.write("/key", "b", prevValue="")
    assert (await client.write("/key", "b", prevIndex=index)).value == "b"


async def test_prev_exist_false_ignores_the_other_conditions(raw: Raw, client: Client) -> None:
    assert (await raw.put("/key", "value=a&prevExist=false&prevIndex=77&prevValue=x")).says == (201, "create")
    with pytest.raises(UsageError, match="ignores"):
        await client.write("/key", "a", prevExist=False, prevIndex=77)


async def test_a_delete_ignores_prev_exist(raw: Raw) -> None:
    await raw.put("/key", "value=a")
    assert (await raw.delete("/key?prevExist=false")).says == (200, "delete")


TWICE = {
    "compare-and-swap": ("PUT", "/key", "value=b&prevValue=a", (412, 101)),
    "create": ("PUT", "/new", "value=b&prevExist=false", (412, 105)),
    "delete": ("DELETE", "/key", None, (404, 100)),
    "append": ("POST", "/queue", "value=b", (201, "create")),
}


@pytest.mark.parametrize("request_", TWICE)
async def test_a_request_that_was_done_is_told_another_story_the_second_time(raw: Raw, request_: str) -> None:
    method, target, form, answer = TWICE[request_]
    await raw.put("/key", "value=a")
    assert (await raw.ask(method, f"/v2/keys{target}", form)).status < 300
    assert (await raw.ask(method, f"/v2/keys{target}", form)).says == answer


RESENT: dict[str, tuple[str, Callable[[Client], Awaitable[object]]]] = {
    "compare-and-swap": ("PUT", lambda client: client.write("/key", "b", prevValue="a")),
    "create": ("PUT", lambda client: client.write("/new", "b", prevExist=False)),
    "append": ("POST", lambda client: client.write("/queue", "b", append=True)),
    "delete": ("DELETE", lambda client: client.delete("/key")),
}


async def test_the_client_does_not_send_it_a_second_time(etcd: EtcdServer, raw: Raw) -> None:
    await raw.put("/key", "value=a")
    async with FaultProxy(etcd.url) as proxy, Client(proxy.url) as client:
        await client.read("/")  # so that it is a kept connection that breaks, which aiohttp would mend by itself
        for method, call in RESENT.values():
            proxy.judge = first(method, Fate.CUT_AFTER)
            before = len(proxy.seen)
            with pytest.raises(EtcdUnconfirmed):
                await call(client)
            await client.read("/")  # whatever was sent before it has arrived by now
            assert proxy.methods()[before:] == [method, "GET"]
