"""What the object mapper costs on top of what it can't do without; ``python -m benchmarks.mapper`` prints it."""
