"""The etcd that is asked: in memory where that can be, so that no disk is measured; or on one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from etcdorm.testing import EtcdServer

_MEMORY = Path("/dev/shm")


@contextmanager
def serving(*, disk: bool = False) -> Iterator[tuple[EtcdServer, str, int]]:
    """A server, with its host and port; with ``disk``, one that waits for a disk, as a real one does."""
    memory = str(_MEMORY) if _MEMORY.is_dir() and not disk else None
    with (
        tempfile.TemporaryDirectory(prefix="etcdorm-benchmark-", dir=memory) as data,
        EtcdServer(data_dir=data) as etcd,
    ):
        at = urlsplit(etcd.url)
        assert at.hostname is not None
        assert at.port is not None
        yield etcd, at.hostname, at.port
