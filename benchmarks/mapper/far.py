"""An etcd that is a network away: a process on the way to it passes all bytes on, each of them a while later.

It does no more than that, since it takes its time of the same cores as the etcd and its client. And it has a thread for
each way of a connection, as an event loop would round the while up to a whole millisecond.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from urllib.parse import urlsplit


@contextmanager
def far(url: str, seconds: float) -> Iterator[str]:
    """The URL at which the etcd can be asked so; ``seconds`` are those of the way there and back."""
    command = [sys.executable, "-m", "benchmarks.mapper.far", url, str(seconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


def _serve(url: str, seconds: float) -> None:
    at = urlsplit(url)
    server = socket.create_server(("127.0.0.1", 0))
    Thread(target=_accept, args=(server, (at.hostname, at.port), seconds / 2), daemon=True).start()
    print(f"http://127.0.0.1:{server.getsockname()[1]}", flush=True)
    sys.stdin.read()


def _accept(server: socket.socket, at: tuple[str, int], seconds: float) -> None:
    while True:
        near, _ = server.accept()
        other = socket.create_connection(at)
        for here, there in ((near, other), (other, near)):
            here.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Thread(target=_pass_on, args=(here, there, seconds), daemon=True).start()


def _pass_on(here: socket.socket, there: socket.socket, seconds: float) -> None:
    with suppress(OSError):
        while data := here.recv(1 << 16):
            time.sleep(seconds)
            there.sendall(data)
        there.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    _serve(sys.argv[1], float(sys.argv[2]))
