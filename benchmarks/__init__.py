"""How fast etcdorm is; each command prints tables.

* ``python -m benchmarks``: the v2 client, beside others that do the same.
* ``python -m benchmarks.mapper``: what the mapper costs on top of what it can't do without.
* ``python -m benchmarks.coordination``: locks, leases, watches and tables.
"""
