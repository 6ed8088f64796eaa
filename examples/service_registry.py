"""A service registry: instances stay registered as long as they live, and whoever watches learns when one is gone.

usage: python examples/service_registry.py [ENDPOINT]      without one, an etcd is started that ends with the program

An instance is a record with a TTL, and a task that puts its expiry off. Two instances come up; one crashes, which its
TTL tells the others; the other one signs off, which they learn at once.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator

from etcdorm import (
    Change,
    Created,
    Deleted,
    EtcdModel,
    Expired,
    LeaseLapsedError,
    Session,
    UnavailableError,
    UnconfirmedError,
    connect,
)

TTL = 2  # seconds; short, so that this program ends soon. 10 to 30 are usual.


class Instance(EtcdModel, path="/registry/{service}/{id}"):
    service: str
    id: str
    address: str
    weight: int = 1


async def stay_registered(session: Session, instance: Instance) -> None:
    """Put the expiry of a registered instance off until this task is cancelled."""
    while True:
        await asyncio.sleep(TTL / 4)
        try:
            await session.refresh(instance, ttl=TTL)
        except LeaseLapsedError:
            # This process or its network stood still for too long. The object is a new one now: register again.
            await session.save(instance, ttl=TTL)
        except (UnavailableError, UnconfirmedError):
            continue  # the next one may get through; until the TTL is over, nothing is lost


async def wait_for(changes: AsyncIterator[Change[Instance]], kind: type[Change[Instance]], begun: float) -> None:
    """Print what happens, up to the first change of this kind."""
    async for change in changes:
        at = f"{time.monotonic() - begun:4.1f} s"
        match change:
            case Created(new=instance):
                print(f"{at}  + {instance.id} at {instance.address}")
            case Expired(old=instance):
                print(f"{at}  ! {instance.id if instance else change.path} expired: it must have crashed")
            case Deleted(old=instance):
                print(f"{at}  - {instance.id if instance else change.path} has signed off")
            case _:
                print(f"{at}  {change}")
        if isinstance(change, kind):
            return


async def main(endpoint: str) -> None:
    async with connect(endpoint) as session:
        begun = time.monotonic()
        one = Instance(service="web", id="web-1", address="10.0.0.1:80")
        two = Instance(service="web", id="web-2", address="10.0.0.2:80")
        async with session.watch(Instance, service="web") as changes, asyncio.TaskGroup() as group:
            await session.save(one, ttl=TTL)
            first = group.create_task(stay_registered(session, one))
            await wait_for(changes, Created, begun)
            await session.save(two, ttl=TTL)
            second = group.create_task(stay_registered(session, two))
            await wait_for(changes, Created, begun)

            print("        web-2 crashes: its task ends, and nothing is cleaned up")
            second.cancel()
            await wait_for(changes, Expired, begun)
            print("        still there:", [instance.id for instance in await session.list(Instance, service="web")])

            first.cancel()
            await session.delete(one)
            await wait_for(changes, Deleted, begun)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "embedded:"))
