"""k3etcd. It opens a connection for each call, and its clients are safe to share between threads as they are."""

from __future__ import annotations

import k3etcd


class K3etcd:
    def open(self, host: str, port: int) -> None:
        self.client = k3etcd.Client(host, port)

    def close(self) -> None:
        """It holds nothing."""

    def read(self, key: str) -> str:
        value: str = self.client.get(key).value
        return value

    def write(self, key: str, value: str) -> int:
        index: int = self.client.set(key, value).modifiedIndex
        return index

    def swap(self, key: str, value: str, index: int) -> int:
        new: int = self.client.write(key, value, prevIndex=index).modifiedIndex
        return new
