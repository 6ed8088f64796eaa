"""Which ports this process holds, without listening on them."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path


def held_ports() -> set[int]:
    found = set()
    for descriptor in Path("/dev/fd").iterdir():
        with suppress(OSError), socket.socket(fileno=os.dup(int(descriptor.name))) as one:
            if one.family == socket.AF_INET and not one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                found.add(one.getsockname()[1])
    return found
