"""All of the mapper's measurements, on one etcd or another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.contenders.bare_aiohttp import Tuned
from benchmarks.filling import fill
from benchmarks.mapper import work
from benchmarks.mapper.floors import list_all
from benchmarks.mapper.goals import Goal, measure
from benchmarks.mapper.memory import Memory, held
from benchmarks.mapper.models import Few, Many, made
from benchmarks.pairs import Pair
from etcdorm import connect
from etcdorm.v2 import Client

Measured = Mapping[Goal, Sequence[Pair]]


async def calls(host: str, port: int, *, models: int, rounds: int, seconds: float) -> tuple[Measured, Memory]:
    """Listing, loading and saving; and the memory of what was listed."""
    await fill(made(Few, models), host, port)
    await fill(made(Many, 10 * models), host, port)
    http = Tuned()
    await http.open(host, port)
    try:
        async with connect(f"http://{host}:{port}", timeout=60) as session, Client(host, port) as client:
            planned = {
                **work.listing(session, http, models),
                **await work.loading(session, client, seconds),
                **work.saving(session, client, seconds),
            }
            measured = await measure(planned, rounds)
            prefix = work.directory(Few)
            return measured, Memory(await held(lambda: list_all(http, prefix)), await held(lambda: session.list(Few)))
    finally:
        await http.close()


async def saves(host: str, port: int, *, models: int, rounds: int, seconds: float) -> Measured:
    """Saving alone."""
    await fill(made(Few, models), host, port)
    async with connect(f"http://{host}:{port}", timeout=60) as session, Client(host, port) as client:
        return await measure(work.saving(session, client, seconds), rounds)


async def many(host: str, port: int, *, models: int, rounds: int, url: str | None = None) -> Measured:
    """Saving many at once, on an etcd in which there is nothing yet; by another way to it, with ``url``."""
    await fill(made(Few, models), host, port)
    url = url or f"http://{host}:{port}"
    async with connect(url, timeout=60) as session, Client(url) as client:
        return await measure(work.saving_all(session, client, models), rounds)
