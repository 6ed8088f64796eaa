"""How fast the v2 client is, beside others that do the same; ``python -m benchmarks`` prints the tables."""
