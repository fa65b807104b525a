"""Writes the names of ONNX's node tests that onnxruntime's CPU provider passes.

    python tools/onnx_baseline.py

Left out: tests with sequences, strings, optionals or training operators, and Bernoulli, whose
results are random. A model of a version that onnxruntime does not know yet is offered to it as one
of the newest that it knows.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
os.environ["ALLOW_RELEASED_ONNX_OPSET_ONLY"] = "0"  # onnxruntime: opsets in development too

import onnx  # noqa: E402
import onnxruntime  # noqa: E402

from tests.onnx.node_cases import BASELINE, cases, check  # noqa: E402

NEWEST_IR = 13
WORDS = ("Sequence", "Optional", "String", "RegexFullMatch", "TfIdf")


class Session:
    """A model in onnxruntime."""

    def __init__(self, model: Any) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def run(self, inputs: list[Any]) -> list[Any]:
        """Outputs in the model's order."""
        names = [each.name for each in self.session.get_inputs()]
        made: list[Any] = self.session.run(None, dict(zip(names, inputs, strict=False)))
        return made


def graphs(graph: Any) -> Iterator[Any]:
    """A graph and the graphs in its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from graphs(attribute.g)


def counts(name: str, model: Any) -> bool:
    """Whether a test is of the kind that counts."""
    nodes = [node for graph in graphs(model.graph) for node in graph.node]
    nodes += [node for function in model.functions for node in function.node]
    for graph in graphs(model.graph):
        for value in (*graph.input, *graph.output, *graph.value_info):
            kind = value.type.WhichOneof("value")
            if kind not in ("tensor_type", None) or value.type.tensor_type.elem_type == 8:
                return False
    return "bernoulli" not in name and not any(
        "training" in node.domain or any(word in node.op_type for word in WORDS) for node in nodes
    )


def versions(model: Any) -> Iterator[Any]:
    """The model as it is, and in the versions that onnxruntime knows."""
    for opset in (None, 26):
        again = onnx.ModelProto()
        again.CopyFrom(model)
        again.ir_version = min(model.ir_version, NEWEST_IR)
        for each in again.opset_import:
            if opset is not None and not each.domain:
                each.version = min(each.version, opset)
        yield again


def passes(case: Any) -> bool:
    """Whether onnxruntime gives what the test expects."""
    for model in versions(case.model):
        try:
            check(case, Session(model))
        except Exception:  # noqa: BLE001
            continue
        return True
    return False


def main() -> None:
    """Write the list."""
    every = cases()
    names = [name for name, case in every.items() if counts(name, case.model) and passes(case)]
    BASELINE.parent.mkdir(parents=True, exist_ok=True)
    BASELINE.write_text("\n".join(sorted(names)) + "\n")
    print(f"{len(names)} of {len(every)} in {BASELINE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
