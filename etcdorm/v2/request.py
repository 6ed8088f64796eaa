"""One request of the v2 keys API: its parameters checked and encoded. Pure.

Every rule here stands for a request that etcd would take for another one (facts: an unconditional delete, a value
that is blanked, a redirect that lists instead of writing), so what is not right never leaves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal
from urllib.parse import quote_plus

from etcdorm.errors import UsageError
from etcdorm.path import Path, check_text
from etcdorm.v2.result import EtcdResult

Value = str | int | float | bool
Method = Literal["GET", "PUT", "POST", "DELETE"]

LONGEST_TTL = 7_000_000_000  # seconds; above about 7.4e9 etcd silently sets no TTL
_LONGEST_IN_URL = 1024  # bytes; etcd drops a fresh connection whose request line is longer than 4096
# Bytes. etcd takes a form of 10 MiB, but a log entry that large keeps it from ever starting again ("wal: max entry size
# limit exceeded"); beyond that it drops the connection, which would look like an answer that was lost.
_LARGEST_FORM = 10 * 1024 * 1024 - 64 * 1024
LONGEST_KEY = 2800  # bytes as it stands in the URL, where a prefix and a condition have to go as well


@dataclass(slots=True)  # not frozen: that would make it three times as expensive, and there is one for each call
class Request:
    """What goes to any endpoint: ``target`` is what follows the endpoint's URL, ``form`` the body (JSON if ``json``).

    ``value`` and ``prevIndex`` stand in the query or the form as well; a lost answer is settled by them.
    """

    method: Method
    key: Path
    prefix: str
    query: str = field(default="", repr=False)  # a condition in it, the form and the value may be secrets
    form: bytes | None = field(default=None, repr=False)
    waits: bool = False
    value: str | None = field(default=None, repr=False)
    prevIndex: int | None = None
    content: Literal["form", "json"] = "form"

    @property
    def target(self) -> str:
        path = self.prefix + self.key.quoted
        return f"{path}?{self.query}" if self.query else path

    @property
    def writes(self) -> bool:
        return self.method != "GET"

    @property
    def waits_from_now(self) -> bool:
        return self.waits and "waitIndex=" not in self.query

    def waiting_from(self, index: int) -> Request:
        """The same wait, for the first event from ``index`` on."""
        return replace(self, query=f"{self.query}&waitIndex={index}")


@dataclass(slots=True)
class Asked:
    """What was asked of which endpoint, in words for an error or a log; put together only when somebody reads it."""

    request: Request
    endpoint: str

    def __str__(self) -> str:
        return f"{self.request.method} {self.request.key} at {self.endpoint}"


def api_prefix(prefix: str) -> str:
    """What comes between an endpoint and ``/keys``, without a slash at its end.

    Raises: UsageError.
    """
    if not re.fullmatch(r"(/[\w.~-]+)*/?", prefix, re.ASCII) or any(part in (".", "..") for part in prefix.split("/")):
        raise UsageError(f"version_prefix must look like /v2, not {prefix!r}")
    return prefix.rstrip("/")


@lru_cache(maxsize=1024)
def key_path(key: str) -> Path:
    """A key as users write it; the slash at its beginning may be missing, as in python-aio-etcd."""
    path = Path.parse(key if key.startswith("/") else f"/{key}")
    check_length(path)
    return path


def _checked(key: str | Path) -> Path:
    if isinstance(key, str):
        return key_path(key)
    check_length(key)
    return key


def check_length(path: Path) -> None:
    """Refuse a key that does not fit into a request line.

    Raises: UsageError.
    """
    length = len(path.quoted)
    if length > LONGEST_KEY:
        raise UsageError(
            f"the key {str(path)[:60]}... takes {length} bytes in a URL, and etcd drops requests with so long a line; "
            f"{LONGEST_KEY} is the most"
        )


def text_of(value: Value) -> str:
    """The text that a value is stored as.

    Raises: UsageError for what has no one obvious text.
    """
    if isinstance(value, str):
        check_text(value, "the value")
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise UsageError(f"a value must be a str, int, float or bool, not {type(value).__name__}")


def write(
    prefix: str,
    key: str | Path,
    value: Value | None,
    *,
    ttl: int | None = None,
    dir: bool = False,
    append: bool = False,
    prevValue: Value | None = None,
    prevIndex: int | None = None,
    prevExist: bool | None = None,
    refresh: bool = False,
    noValueOnSuccess: bool = False,
) -> Request:
    if refresh:
        if ttl is None or value is not None or dir or append or prevExist is False:
            raise UsageError("refresh=True needs a ttl, and takes no value, dir, append or prevExist=False")
        if prevValue is None and prevIndex is None:
            prevExist = True  # without it etcd resets createdIndex, and makes an empty key out of a missing one
    elif dir == (value is not None):
        raise UsageError("a write needs a value, or dir=True and no value; etcd would blank the key")
    elif dir and (prevExist or prevValue is not None or prevIndex is not None):
        raise UsageError(
            "a directory can't be updated, so dir=True takes no prevValue, prevIndex or prevExist=True: etcd would "
            "blank a key of that name, 3.5 refuses it for a directory, and in a cluster of two versions the members "
            "would part for good; prevExist=False makes a directory where nothing is"
        )
    if append and not (prevValue is None and prevIndex is None and prevExist is None):
        raise UsageError("append=True makes a new key, so it takes no prevValue, prevIndex or prevExist")
    if prevExist is False and not (prevValue is None and prevIndex is None):
        raise UsageError("with prevExist=False etcd ignores prevValue and prevIndex")
    text = None if value is None else text_of(value)
    fields = [] if text is None else [f"value={quote_plus(text)}"]
    if ttl is not None:
        fields.append(f"ttl={_ttl(ttl)}")
    if dir:
        fields.append("dir=true")
    if refresh:
        fields.append("refresh=true")
    if prevExist is not None:
        fields.append(f"prevExist={'true' if prevExist else 'false'}")
    fields += _conditions(prevValue, prevIndex)
    if noValueOnSuccess:
        fields.append("noValueOnSuccess=true")
    method: Method = "POST" if append else "PUT"
    form = "&".join(fields).encode()
    if len(form) > _LARGEST_FORM:
        raise UsageError(
            f"the write of {str(key)[:60]} takes {len(form)} bytes, and {_LARGEST_FORM} is the most: etcd could not "
            "start again with so large an entry in its log; store it elsewhere, and its place in etcd"
        )
    return Request(method, _checked(key), prefix, form=form, value=text, prevIndex=prevIndex)


def update(prefix: str, result: EtcdResult) -> Request:
    """The compare-and-swap that writes a result's value back, with the TTL it had left."""
    if result.dir:
        # etcd 3.5 refuses it, and in a cluster that has an older member too the members' stores part for good.
        raise UsageError(f"{result.key} is a directory, which has no value to update")
    ttl = None if result.expiration is None else max(0, result.ttl or 0)  # past its end, etcd tells no ttl any more
    return write(prefix, result.key, result.value, ttl=ttl, prevIndex=result.modifiedIndex)


def read(
    prefix: str,
    key: str,
    *,
    recursive: bool = False,
    sorted: bool = False,
    quorum: bool = False,
    wait: bool = False,
    waitIndex: int | None = None,
) -> Request:
    if wait and quorum:
        raise UsageError("etcd ignores wait=True when quorum=True is asked for too")
    if waitIndex is not None and not wait:
        raise UsageError("waitIndex needs wait=True")
    query = ""
    if recursive or sorted or quorum or wait:  # hardly ever for a single key, and then it can be cheap
        options = {"recursive": recursive, "sorted": sorted, "quorum": quorum, "wait": wait}
        query = "&".join(f"{name}=true" for name, on in options.items() if on)
    if waitIndex is not None:
        query += f"&waitIndex={_index('waitIndex', waitIndex)}"
    return Request("GET", key_path(key), prefix, query=query, waits=wait)


def stream(prefix: str, key: str, *, recursive: bool) -> Request:
    """All changes from now on. Never with a waitIndex: etcd would send one event of its history, and then none."""
    query = "wait=true&stream=true&recursive=true" if recursive else "wait=true&stream=true"
    return Request("GET", key_path(key), prefix, query=query, waits=True)


def delete(
    prefix: str,
    key: str | Path,
    *,
    recursive: bool = False,
    dir: bool = False,
    prevValue: Value | None = None,
    prevIndex: int | None = None,
) -> Request:
    # In the query: etcd ignores the body of a DELETE, and would delete without any condition.
    parts = _conditions(prevValue, prevIndex)
    if parts and len(parts[0]) > _LONGEST_IN_URL:
        raise UsageError("prevValue is too long for a DELETE, where it goes into the URL; compare by prevIndex")
    parts += [f"{name}=true" for name, on in (("recursive", recursive), ("dir", dir)) if on]
    return Request("DELETE", _checked(key), prefix, query="&".join(parts), prevIndex=prevIndex)


def _conditions(prevValue: Value | None, prevIndex: int | None) -> list[str]:
    parts = []
    if prevValue is not None:
        text = text_of(prevValue)
        if not text:
            raise UsageError("etcd can't compare with an empty prevValue; compare by prevIndex")
        parts.append(f"prevValue={quote_plus(text)}")
    if prevIndex is not None:
        parts.append(f"prevIndex={_index('prevIndex', prevIndex)}")
    return parts


def _index(name: str, index: int) -> int:
    if isinstance(index, bool) or not isinstance(index, int) or index < 1:
        raise UsageError(f"{name} must be a whole number from 1 on, not {index!r}; etcd takes 0 for no condition")
    return index


def _ttl(ttl: int) -> int:
    if isinstance(ttl, bool) or not isinstance(ttl, int) or not 0 <= ttl <= LONGEST_TTL:
        raise UsageError(f"ttl must be whole seconds from 0 to {LONGEST_TTL}, not {ttl!r}")
    return ttl
