"""The answers of the keys API: a result, or the exception for what etcd said instead. Pure."""

from __future__ import annotations

from typing import cast

from pydantic_core import from_json

from etcdorm.v2.caller import not_v2
from etcdorm.v2.errors import EtcdException, from_answer
from etcdorm.v2.request import Asked, Request
from etcdorm.v2.result import Body, EtcdResult, from_body
from etcdorm.v2.transport import Answer


def as_result(request: Request, answer: Answer, words: Asked) -> EtcdResult | EtcdException:
    """The result that an answer holds, or the exception it stands for; ``words`` says what was asked of whom.

    Raises: EtcdProtocolError, EtcdUnconfirmed or EtcdUnavailable for what is not etcd's answer at all.
    """
    try:
        body = from_json(answer.body, cache_strings="keys")  # the texts of one answer are all different
    except ValueError:
        body = None
    if isinstance(body, dict):
        if answer.status in (200, 201) and "action" in body:
            return from_body(
                cast(Body, body), etcd_index=answer.index, raft_index=answer.raft_index, new=answer.status == 201
            )
        if answer.status >= 400 and ("errorCode" in body or "message" in body):
            return from_answer(
                words,
                code=int(body.get("errorCode", 0)),
                message=str(body.get("message", "")),
                cause=str(body.get("cause", "")),
                index=answer.index,
                writes=request.writes,
            )
    raise not_v2(words, answer, request)
