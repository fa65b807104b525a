"""Model files to graphs, one module an architecture. Reads formats' plain data, no bytes."""
