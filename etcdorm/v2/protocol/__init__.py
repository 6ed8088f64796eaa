"""The commit protocol on etcd v2 (design, "Atomic saves"), as generators without I/O.

Each generator yields the requests of one step, which may be sent in parallel, and is sent their outcomes; what it
returns is the result. ``etcdorm.v2.store`` drives them over a client, and the tests drive them over a model of etcd
through every interleaving and fault.
"""
