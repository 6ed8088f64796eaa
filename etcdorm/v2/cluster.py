"""What the cluster tells of itself: members, leader, statistics, versions. Requests and answers, without I/O."""

from __future__ import annotations

from typing import Any, TypedDict, cast

from pydantic_core import from_json

from etcdorm.path import Path
from etcdorm.v2.caller import not_v2
from etcdorm.v2.errors import EtcdException, EtcdLeaderElectionInProgress, EtcdProtocolError, from_answer
from etcdorm.v2.request import Asked, Request
from etcdorm.v2.transport import Answer


class Member(TypedDict):
    """A member as etcd describes it. One that was added and never started has an empty name and no client URLs."""

    id: str
    name: str
    peerURLs: list[str]
    clientURLs: list[str]


class Versions(TypedDict):
    """The answer to /version."""

    etcdserver: str
    etcdcluster: str


def about(prefix: str, path: str) -> Request:
    """The request for a page of the cluster, below the API's prefix."""
    return Request("GET", Path.parse(path), prefix)


def as_machines(request: Request, answer: Answer, words: Asked) -> list[str]:
    """The client URLs in an answer to /machines, which is text: ``url, url``."""
    if answer.status != 200:
        raise _refusal(request, answer, words)
    urls = [url for url in (part.strip() for part in answer.body.decode(errors="replace").split(",")) if url]
    if not all(url.startswith(("http://", "https://")) for url in urls):
        raise not_v2(words, answer, request)
    return urls


def as_members(request: Request, answer: Answer, words: Asked) -> dict[str, Member]:
    members = _fact(request, answer, words, "members")
    if not isinstance(members, list) or not all(isinstance(each, dict) and "id" in each for each in members):
        raise not_v2(words, answer, request)
    return {member["id"]: member for member in members}


def as_members_of(request: Request, answer: Answer, words: Asked) -> tuple[dict[str, Member], str]:
    """The members, and the id of their cluster."""
    return as_members(request, answer, words), answer.cluster_id


def as_leader(request: Request, answer: Answer, words: Asked) -> Member:
    if answer.status == 503:
        raise EtcdLeaderElectionInProgress(
            f"{words}: the cluster has no leader at this moment; ask again in a second", index=answer.index
        )
    _fact(request, answer, words, "id")
    return cast(Member, _object(request, answer, words))


def as_stats(request: Request, answer: Answer, words: Asked) -> dict[str, Any]:
    """Statistics as etcd writes them, nested, and not the same in every version."""
    return _object(request, answer, words)


def as_versions(request: Request, answer: Answer, words: Asked) -> Versions:
    _fact(request, answer, words, "etcdserver")
    return cast(Versions, _object(request, answer, words))


def _object(request: Request, answer: Answer, words: Asked) -> dict[str, Any]:
    body = _json(answer) if answer.status == 200 else None
    if body is None:
        raise _refusal(request, answer, words)
    return body


def _fact(request: Request, answer: Answer, words: Asked, name: str) -> Any:
    body = _object(request, answer, words)
    if name not in body:
        raise EtcdProtocolError(f"{words}: the answer has no {name!r}, so it is not etcd's")
    return body[name]


def _json(answer: Answer) -> dict[str, Any] | None:
    try:
        body = from_json(answer.body)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _refusal(request: Request, answer: Answer, words: Asked) -> EtcdException:
    body = _json(answer)
    if body is None or "message" not in body or answer.status < 400 or answer.status >= 500:
        return not_v2(words, answer, request)
    return from_answer(words, code=0, message=str(body["message"]), cause="", index=answer.index, writes=False)
