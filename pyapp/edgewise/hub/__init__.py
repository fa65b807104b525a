"""The model index: what there is, found by what it does, and why one is taken."""
