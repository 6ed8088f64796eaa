"""A service registry: instances are registered as long as they live, and whoever watches learns when one is gone.

usage: python examples/service_registry.py [ENDPOINT]      without one, an etcd is started that ends with the program

An instance is a record with a TTL, which `session.register` keeps alive for the time of a block. Two instances come up:
this program, and a second process of it. That one is killed, which its TTL tells the others; this one signs off, which
they learn at once.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator

from etcdorm import Change, Created, Deleted, EtcdModel, Expired, Registration, connect

TTL = 2  # seconds; short, so that this program ends soon. 10 to 30 are usual.


class Instance(EtcdModel, path="/registry/{service}/{id}", ttl=TTL):
    service: str
    id: str
    address: str
    weight: int = 1


def tell(registration: Registration[Instance]) -> None:
    """Called when the record has vanished, as after a long pause of this process, and when it was made anew."""
    print(f"        {registration.model.id} is {registration.state}")


async def serve(endpoint: str, instance: Instance) -> None:
    """What the second process does: be registered until it is killed."""
    async with connect(endpoint) as session, session.register(instance, on_change=tell):
        await asyncio.Event().wait()


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
    async with connect(endpoint) as session, session.watch(Instance, service="web") as changes:
        begun = time.monotonic()
        async with session.register(Instance(service="web", id="web-1", address="10.0.0.1:80"), on_change=tell):
            await wait_for(changes, Created, begun)
            other = await asyncio.create_subprocess_exec(sys.executable, __file__, session.endpoints[0], "web-2")
            await wait_for(changes, Created, begun)

            print("        web-2 crashes: its process is killed, and nothing is cleaned up")
            other.kill()
            await other.wait()
            await wait_for(changes, Expired, begun)
            print("        still there:", [instance.id for instance in await session.list(Instance, service="web")])
        await wait_for(changes, Deleted, begun)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        asyncio.run(serve(sys.argv[1], Instance(service="web", id=sys.argv[2], address="10.0.0.2:80")))
    else:
        asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "embedded:"))
