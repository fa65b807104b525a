"""Decides where a model runs, and says why: facts in, a `Placement` out."""
