"""Sessions: a plan and its weights on one device, with state, and the loop that makes tokens."""
