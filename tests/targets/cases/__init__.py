"""Graphs with random inputs for every kernel that WebGPU has.

Run on wgpu (test_webgpu.py) and in browsers (e2e/test_kernels.py) against the decomposition or
the definition on the reference in float64. Sizes are odd on purpose: no multiple of a tile, a
workgroup or a vector beyond what an operator demands.
"""

from __future__ import annotations

from tests.targets.cases import dense, int8, llm, rows
from tests.targets.cases.base import Array, Case, check

__all__ = ["Array", "Case", "all_cases", "check"]


def all_cases() -> list[Case]:
    """Every case, in a fixed order."""
    families = (*llm.MAKERS, *int8.MAKERS, *dense.MAKERS, *rows.MAKERS)
    return [case for make in families for case in make()]
