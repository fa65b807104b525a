"""The page that other tests run Python in."""

from __future__ import annotations

import numpy as np
import pytest

from e2e.browsers import engines
from e2e.python_page import PythonError, PythonPage

EVERYWHERE = engines("chromium", "chromium_webnn", "firefox")


@EVERYWHERE
def test_values_travel_both_ways(python: PythonPage) -> None:
    given = {"a": np.arange(6, dtype=np.float16).reshape(2, 3), "b": [b"\x00\xff", None, 1.5]}
    got = python.run("return {'same': x, 'sum': float(x['a'].sum())}", x=given)
    np.testing.assert_array_equal(got["same"]["a"], given["a"])
    assert got["same"]["a"].dtype == np.float16
    assert got["same"]["b"] == given["b"]
    assert got["sum"] == 15


@EVERYWHERE
def test_an_error_is_its_traceback(python: PythonPage) -> None:
    with pytest.raises(PythonError, match=r"<snippet>(.|\n)*ZeroDivisionError"):
        python.run("return 1 / 0")


@EVERYWHERE
def test_plain_calls_can_wait(python: PythonPage) -> None:
    """JSPI: all these browsers have it, and `Host.wait` uses it."""
    code = """
        import asyncio
        async def soon():
            await asyncio.sleep(0.01)
            return "done"
        return host.wait(soon(), "soon()")"""
    assert python.run(code) == "done"
