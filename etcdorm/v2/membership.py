"""The members' own endpoints beside those that were given: asked for after a call, by a task of their own."""

from __future__ import annotations

import asyncio
import logging
import time

from etcdorm.v2 import cluster
from etcdorm.v2.caller import Caller
from etcdorm.v2.endpoints import usable_members
from etcdorm.v2.errors import EtcdException
from etcdorm.v2.transport import AnswerLost, NotSent, Transport

_log = logging.getLogger("etcdorm.v2")

_APART = 60.0
"""Seconds between two looks at the members. Between them nothing changes that could not wait."""

_PATIENCE = 2.0
"""Seconds that an endpoint has to show that it is a member."""


class Membership:
    """Looks after the first answer, and after an endpoint has failed, which endpoints the members have.

    A look never delays or fails a call: it is one task, and ``close`` ends it. An endpoint is taken when it answers
    with the cluster's id, and kept for as long as the cluster names it.
    """

    def __init__(self, caller: Caller, transport: Transport, prefix: str) -> None:
        self._caller = caller
        self._transport = transport
        self._prefix = prefix
        self._looked_at: float | None = None
        self._failed_count = 0
        self._complete = False
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def answered(self) -> None:
        """To be told after each call that was answered; begins a look when there is a reason for one."""
        if self._complete and self._failed_count == self._caller.endpoints.failed_count:
            return
        now = time.monotonic()
        if self._closed or (self._looked_at is not None and now < self._looked_at + _APART):
            return
        if self._task is None or self._task.done():
            self._looked_at = now
            self._failed_count = self._caller.endpoints.failed_count
            self._task = asyncio.create_task(self._look(), name="etcdorm members")

    async def close(self) -> None:
        """End a look that is under way."""
        self._closed = True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _look(self) -> None:
        endpoints = self._caller.endpoints
        try:
            members, id = await self._caller.call(
                cluster.about(self._prefix, "/members"), cluster.as_members_of, self._caller.timeout
            )
        except EtcdException as error:
            self._complete = False
            _log.debug("the members can't be asked for: %s", error)
            return
        named = [url for member in members.values() for url in member.get("clientURLs") or ()]
        usable = usable_members(named, endpoints.given)
        known = {*endpoints.given, *endpoints.members}
        new = [url for url in usable if url not in known]
        proven = {url for url in new if await self._is_member(url, id)}
        self._complete = len(proven) == len(new)
        wanted = [url for url in usable if url not in new or url in proven]
        if set(wanted) != set(endpoints.members):
            _log.info("the members' endpoints are %s", ", ".join(wanted) or "none that can be used")
        endpoints.replace_members(wanted)

    async def _is_member(self, url: str, id: str) -> bool:
        """Whether a member of this cluster answers there; what is advertised may be out of reach, or out of date."""
        page = f"{url}{self._prefix}/members"
        try:
            answer = await self._transport.send("GET", page, None, timeout=_PATIENCE)
        except (NotSent, AnswerLost) as error:
            _log.debug("the cluster names the endpoint %s, which does not answer: %s", url, error)
            return False
        if answer.cluster_id != id:
            _log.warning(
                "the cluster names the endpoint %s, where the cluster %s answers instead of %s; it is not used",
                url,
                answer.cluster_id or "(none)",
                id,
            )
        return answer.cluster_id == id
