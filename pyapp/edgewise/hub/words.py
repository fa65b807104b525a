"""Figures for people, in reasons and messages."""

from __future__ import annotations


def megabytes(nbytes: float) -> str:
    """Bytes for people: 98362432 -> "98.4 MB"."""
    return f"{nbytes / 1e6:.1f} MB"


def figure(value: float) -> str:
    """Two digits that count: 4.27 -> "4.3", 427.1 -> "427"."""
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def seconds(value: float) -> str:
    """A duration: 0.0312 -> "31 ms", 12.3 -> "12 s"."""
    return f"{1e3 * value:.0f} ms" if value < 1 else f"{figure(value)} s"
