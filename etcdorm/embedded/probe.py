"""Small questions about ports, directories and servers; each is answered at once."""

from __future__ import annotations

import http.client
import json
import os
import socket
import sys
from contextlib import ExitStack, closing, suppress
from enum import Enum, auto
from pathlib import Path

from etcdorm.embedded.command import HOST

_ANSWER_TIMEOUT = 0.5
_SIGN_OF_LIFE_TIMEOUT = 0.05


class State(Enum):
    SILENT = auto()  # no answer, or not yet a good one
    SERVING = auto()
    WITHOUT_V2 = auto()
    SOMEBODY_ELSE = auto()


def free_ports(count: int) -> list[int]:
    """Different ports that nobody listens on at this moment."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]


def hold_ports(*ports: int) -> ExitStack:
    """Keep the system from giving these ports to anybody, until this is closed; whoever names one can listen on it.

    So a port stays its server's while that is down. It is for Linux, and does nothing elsewhere, nor about a port that
    is in use.
    """
    with ExitStack() as stack:
        for port in ports if sys.platform == "linux" else ():
            one = stack.enter_context(socket.socket())
            # Two sockets that are set so may have the same port, as long as only one listens: this one never does.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError, OverflowError):  # the latter when it is no port
                one.bind((HOST, port))
        return stack.pop_all()


def is_locked(data_dir: Path) -> bool:
    """Whether an etcd holds this data directory; a second one would wait for the lock for ever, without a word."""
    import fcntl  # not on Windows, where this package can't run an etcd but must be importable

    try:
        descriptor = os.open(data_dir / "member" / "snap" / "db", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def ask(port: int, name: str) -> State:
    """Whether the etcd of this name serves the v2 API on this port, with a leader."""
    try:
        status, body = _get(port, "/v2/stats/self")
        if status == http.client.NOT_FOUND:
            return State.WITHOUT_V2
        if status != http.client.OK:
            return State.SILENT
        if json.loads(body).get("name") != name:
            return State.SOMEBODY_ELSE
        # A read with quorum needs a leader. 401 is an answer too: a data directory may have come with users in it.
        status, _ = _get(port, "/v2/keys/?quorum=true")
        return State.SERVING if status in (http.client.OK, http.client.UNAUTHORIZED) else State.SILENT
    except (OSError, ValueError, http.client.HTTPException):
        return State.SILENT


def leader_of(port: int) -> str | None:
    """The name of the member that leads, as the member on this port sees it; None when it knows of none."""
    try:
        status, body = _get(port, "/v2/members/leader")
        return str(json.loads(body)["name"]) if status == http.client.OK else None
    except (OSError, ValueError, KeyError, http.client.HTTPException):
        return None


def answers(port: int) -> bool:
    """Whether anything at all comes back within a moment."""
    try:
        _get(port, "/v2/stats/self", timeout=_SIGN_OF_LIFE_TIMEOUT)
    except (OSError, http.client.HTTPException):
        return False
    return True


def _get(port: int, target: str, *, timeout: float = _ANSWER_TIMEOUT) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection(HOST, port, timeout=timeout)) as connection:
        connection.request("GET", target)
        with connection.getresponse() as response:
            return response.status, response.read()
