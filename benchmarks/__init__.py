"""How fast the v2 client is, beside others that do the same, and what the mapper costs on top of what it needs.

``python -m benchmarks`` prints the tables.
"""
