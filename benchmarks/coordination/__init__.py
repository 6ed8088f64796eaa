"""What coordination costs: locks, leases, watches and tables. ``python -m benchmarks.coordination`` prints it all."""
