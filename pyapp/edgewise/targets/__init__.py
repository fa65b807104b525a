"""Targets: a graph becomes a plan for one kind of device."""
