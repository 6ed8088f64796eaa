"""python-etcd, with a pool of connections for as many threads as there may be."""

from __future__ import annotations

import etcd


class PythonEtcd:
    def open(self, host: str, port: int) -> None:
        self.client = etcd.Client(host, port, per_host_pool_size=32)

    def close(self) -> None:
        self.client.http.clear()

    def read(self, key: str) -> str:
        value: str = self.client.read(key).value
        return value

    def write(self, key: str, value: str) -> int:
        index: int = self.client.write(key, value).modifiedIndex
        return index

    def swap(self, key: str, value: str, index: int) -> int:
        new: int = self.client.write(key, value, prevIndex=index).modifiedIndex
        return new
