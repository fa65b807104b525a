"""An ONNX file that a person drops on a page: `onnx` is loaded then, and the model runs there."""

from __future__ import annotations

import numpy as np
import pytest

from e2e.browsers import Engine, engines
from e2e.python_page import PythonError, PythonPage
from tests.importers.onnx.oracle import Array, model, node, theirs

DROP = """
    import sys
    from edgewise.tasks.onnx import open_model

    before = "onnx" in sys.modules
    session = await open_model(files, target=target)
    made = await session.run({"x": x})
    await session.close()
    return {"before": before, "after": "onnx" in sys.modules, "y": made["y"]}
"""


@engines("chromium", "firefox")
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_dropped_file(python: PythonPage, engine: Engine) -> None:
    rng = np.random.default_rng(31)
    held = {"w": rng.normal(size=(40, 64)).astype(np.float32), "b": np.zeros(64, np.float32)}
    x = rng.normal(size=(3, 40)).astype(np.float32)
    proto = model([node("Gemm", "x w b", "z"), node("Softmax", "z", "y")], {"x": x}, ["y"], held)
    files = {"tiny.onnx": proto.SerializeToString()}
    found = python.run(DROP, files=files, x=x, target="reference")
    assert (found["before"], found["after"]) == (False, True)
    np.testing.assert_allclose(found["y"], theirs(proto, {"x": x})[0], rtol=0, atol=1e-5)
    with pytest.raises(PythonError, match="FormatError"):
        python.run(DROP, files={"tiny.onnx": files["tiny.onnx"][:-9]}, x=x, target="reference")


@engines("chromium", "firefox")
@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("zero", [False, True])
def test_weights_of_four_bits_go_to_the_device_as_they_lie_in_the_file(
    python: PythonPage, engine: Engine, zero: bool
) -> None:
    rng = np.random.default_rng(37)
    held: dict[str, Array] = {
        "b": rng.integers(0, 256, (520, 16, 16)).astype(np.uint8),
        "s": rng.normal(size=(520, 16)).astype(np.float32),
    }
    if zero:
        held["z"] = rng.integers(0, 256, (520, 8)).astype(np.uint8)
    x = rng.normal(size=(3, 512)).astype(np.float32)
    product = node("MatMulNBits", f"x {' '.join(held)}", "y", "com.microsoft", K=512, N=520, bits=4,
                   block_size=32)  # fmt: skip
    proto = model([product], {"x": x}, ["y"], held)
    files = {"four.onnx": proto.SerializeToString()}
    found = python.run(DROP, files=files, x=x, target="webgpu")
    (official,) = theirs(proto, {"x": x})
    np.testing.assert_allclose(found["y"], official, rtol=0, atol=1e-5 * abs(official).max())
