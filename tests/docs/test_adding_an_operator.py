"""The row of docs/adding-an-operator.md, registered as a change to the table would, and run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "adding-an-operator.md"
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)

RUN = """
import asyncio
import numpy as np
from edgewise.errors import DTypeError
from edgewise.graph.text import parse_graph
from edgewise.host.base import WeightFile
from edgewise.host.native import NativeDevice
from edgewise.passes.decompose import decompose
from edgewise.targets import reference
from edgewise.targets.webgpu.compile import compile_plan

graph = b.build()
assert parse_graph(print_graph(graph)) == graph
x = np.linspace(-9, 9, 6, dtype=np.float32).reshape(2, 3)
(want,) = reference.run(graph, {"x": x}, {}, None, {})[0].values()
np.testing.assert_allclose(want, x * np.tanh(np.log1p(np.exp(x.astype(float)))) + 1, rtol=1e-6)
assert "mish" not in {node.op for node in decompose(graph).graph.nodes}
try:
    GraphBuilder("wrong").mish(b.input("i", DType.INT32, (4,)))
except DTypeError as error:
    assert "mish input 'input': got int32[4]; need one of float16, float32" in str(error), error

async def on_webgpu():
    device, notes = NativeDevice(None), []
    plan = compile_plan({"main": graph}, {}, device.facts, features=frozenset(), notes=notes)
    assert len(plan.programs["main"]) == 1, "one dispatch"
    assert "did compute it where add reads it" in {note.text for note in notes}
    executable = await device.load(plan.to_json(), WeightFile(()), lambda done, total: None)
    await executable.write("x", x.tobytes())
    await executable.run("main", {})
    return np.frombuffer(await executable.read("y"), np.float32)[:6].reshape(2, 3)

np.testing.assert_allclose(asyncio.run(on_webgpu()), want, rtol=1e-5, atol=1e-6)
"""


@pytest.mark.gpu
def test_the_row_of_the_page_is_all_that_an_operator_takes() -> None:
    blocks = BLOCK.findall(PAGE.read_text())
    row, sample = (text for language, text in blocks if language == "python")
    (shown,) = (text for language, text in blocks if language == "text")
    # a process of its own: the table is read when the builder and the targets are imported
    code = f"import edgewise.ops\n{row}\n{sample}\n{RUN}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == shown.strip()
