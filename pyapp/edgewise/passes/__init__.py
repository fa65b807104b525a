"""Graph to graph: clean, fuse, decompose."""
