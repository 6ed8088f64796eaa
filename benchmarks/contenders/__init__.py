"""Who is measured: one module for each library, and :func:`find`, which tells who is there and who is missing."""
