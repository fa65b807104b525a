"""The llama importer: graphs of a tiny random model and of SmolLM2, held against other code.

Oracles: a plain NumPy llama over weights that the `gguf` package dequantised (tiny.py), and
transformers in float32 (tests/oracles/smollm2.py, whose output is in tests/data).
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewise.dtypes import DType
from edgewise.graph.graph import Graph
from edgewise.graph.text import parse_graph, print_graph
from edgewise.importers.llama import build, config_from_gguf
from edgewise.importers.llama_config import FLOAT_TYPES
from edgewise.passes.pipeline import run as run_passes
from edgewise.targets.reference import Reference
from tests.importers.tiny import Tiny
from tests.importers.weights import Weights

DATA = Path(__file__).resolve().parents[1] / "data"
GREEDY = np.array([0, 0, 1, 1, 0.5], np.float32)
MODELS = {
    "tied": Tiny(),
    "untied, partial rotary": Tiny(tied=False, rope_dims=8),
    "one type, 4 bits": Tiny(matrices="Q4_1", kv_heads=4),
    "one type, 8 bits": Tiny(matrices="Q8_0", rope_dims=12),
    "float32": Tiny(matrices="F32"),
    "float16": Tiny(matrices="F16", tied=False),
    "bfloat16": Tiny(matrices="BF16", kv_heads=4),
}


class Session:
    """A graph on the reference target, and its states between runs."""

    def __init__(self, graph: Graph, weights: Weights) -> None:
        self.graph, self.past = graph, 0
        self.target = Reference(graph, weights)
        shapes = {name: graph.values[name] for name in graph.states}
        self.states = {
            name: np.zeros(tuple(map(int, value.shape)), str(value.dtype))  # type: ignore[arg-type]
            for name, value in shapes.items()
        }

    def feed(self, tokens: list[int]) -> tuple[int, Any]:
        """The greedy next token and logits [V] after `tokens`."""
        vocab = self.graph.values["bias"].shape[0]
        inputs = {
            "tokens": np.array(tokens, np.int32),
            "bias": np.zeros(int(vocab), np.float32),  # type: ignore[arg-type]
            "settings": GREEDY,
        }
        bindings = {"seq": len(tokens), "past": self.past}
        outputs, self.states = self.target.run(inputs, self.states, bindings)
        self.past += len(tokens)
        return int(outputs["token"][0]), outputs["logits"][0]


def distance(got: Any, want: Any) -> float:
    """Relative to the norm."""
    return float(np.linalg.norm(got - want) / np.linalg.norm(want))


def imported(weights: Weights, **options: Any) -> Graph:
    tensors = weights.gguf.tensors
    return build(config_from_gguf(weights.gguf.metadata, tensors), tensors, **options)


def fused(graph: Graph) -> Graph:
    return run_passes(graph, debug=2)[0]


@pytest.mark.parametrize("fuse", [False, True], ids=["as imported", "fused"])
@pytest.mark.parametrize("name", MODELS)
def test_prefill_and_decode_equal_a_plain_llama(name: str, fuse: bool, tmp_path: Path) -> None:
    model = MODELS[name]
    values = model.write(tmp_path / "tiny.gguf", seed=7)
    weights = Weights(tmp_path / "tiny.gguf")
    graph = imported(weights, max_seq=8, max_context=32)
    if fuse:
        graph = fused(graph)
        found = Counter(node.op for node in graph.nodes)
        # q, k and v of different types cannot be one kernel; the other rules apply all the same
        quantised = model.matrices not in FLOAT_TYPES
        assert found["quantizedQkv"] == (model.layers if model.matrices and quantised else 0)
        assert not quantised or found["rmsNorm"] == found["add"] == 0
    session = Session(graph, weights)
    tokens = np.random.default_rng(8).integers(0, model.vocab, 16).tolist()
    want = model.logits(values, tokens)
    # a prefill, single steps, a second chunk over a filled cache, a step after it
    for start, stop in ((0, 5), (5, 6), (6, 7), (7, 15), (15, 16)):
        token, logits = session.feed(tokens[start:stop])
        assert distance(logits, want[stop - 1]) < 1e-5, f"tokens {start} to {stop}"
        assert token == int(want[stop - 1].argmax())
    assert set(np.flatnonzero(session.states["seen"])) == set(tokens)


def test_float16_between_matrices_stays_near(tmp_path: Path) -> None:
    model = MODELS["tied"]
    values = model.write(tmp_path / "tiny.gguf", seed=9)
    weights = Weights(tmp_path / "tiny.gguf")
    graph = imported(weights, max_seq=8, max_context=16, activation=DType.FLOAT16)
    assert graph.values["k0"].dtype is DType.FLOAT16
    session = Session(graph, weights)
    tokens = [3, 99, 0, 41, 7, 20]
    want = model.logits(values, tokens)
    session.feed(tokens[:5])
    _, logits = session.feed(tokens[5:])
    # 2^-11 a rounding, some 10 roundings deep; float32 everywhere would be under 1e-6
    assert 1e-6 < distance(logits, want[5]) < 1e-2


def test_bounds_never_pass_the_models_own_context(tmp_path: Path) -> None:
    MODELS["tied"].write(tmp_path / "tiny.gguf", seed=1)
    graph = imported(Weights(tmp_path / "tiny.gguf"), max_seq=256, max_context=2048)
    assert graph.symbols == {"seq": 64, "past": 64}
    assert graph.values["k1"].shape == (64, 2, 16)


@pytest.fixture(scope="module")
def smollm2(model_path: Path) -> Weights:
    return Weights(model_path)


@pytest.fixture(scope="module")
def graph(smollm2: Weights) -> Graph:
    return imported(smollm2)


def test_config_of_smollm2(smollm2: Weights) -> None:
    config = config_from_gguf(smollm2.gguf.metadata, smollm2.gguf.tensors)
    assert config == {
        "architecture": "llama", "vocab": 49152, "hidden": 576, "layers": 30, "heads": 9,
        "kv_heads": 3, "head_dim": 64, "ffn": 1536, "rope_theta": 100000.0, "rope_dims": 64,
        "norm_eps": 1e-5, "context": 8192, "tied": True,
    }  # fmt: skip
    through_javascript = json.loads(json.dumps(config).replace("100000.0", "100000"))
    assert build(through_javascript, smollm2.gguf.tensors) == imported(smollm2)


def test_smollm2_graph_counts(graph: Graph) -> None:
    layers = 30
    assert Counter(node.op for node in graph.nodes) == {
        "quantizedGather": 1, "rmsNorm": 2 * layers + 1, "quantizedMatmul": 7 * layers + 1,
        "reshape": 4 * layers, "rotary": 2 * layers, "kvUpdate": 2 * layers, "attention": layers,
        "swiglu": layers, "add": 2 * layers, "slice": 1, "markSeen": 1, "sample": 1,
    }  # fmt: skip
    # the embedding is used twice and is one constant: codes and scale, as Q8_0 has no minimum
    sources = [constant.source for constant in graph.constants.values() if constant.source]
    assert Counter(source.type for source in sources) == {
        "Q8_0": 2, "Q4_1": 3 * 7 * layers, "F32": 2 * layers + 1,
    }  # fmt: skip
    assert set(graph.updates) == set(graph.states)
    assert len(graph.states) == 2 * layers + 1
    assert {node.origin for node in graph.nodes if node.op == "attention"} == {
        f"blk.{index}" for index in range(layers)
    }


def test_smollm2_text_round_trips(graph: Graph) -> None:
    assert parse_graph(print_graph(graph)) == graph


def test_fusion_leaves_five_nodes_a_layer(graph: Graph) -> None:
    layers = 30
    # qkv, attention, its reshape, output, gate and up, down
    assert Counter(node.op for node in fused(graph).nodes) == {
        "quantizedGather": 1, "quantizedQkv": layers, "attention": layers, "reshape": layers,
        "quantizedMatmul": 2 * layers + 1, "quantizedSwiglu": layers, "slice": 1, "markSeen": 1,
        "sample": 1,
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("fuse", [False, True], ids=["as imported", "fused"])
def test_smollm2_equals_transformers(graph: Graph, smollm2: Weights, fuse: bool) -> None:
    oracle = json.loads((DATA / "smollm2_oracle.json").read_text(encoding="utf-8"))
    case = next(case for case in oracle["logits"] if case["length"] == 7)
    with np.load(DATA / "smollm2_oracle.npz") as arrays:
        indices, want = arrays["prefill_7_indices"], arrays["prefill_7_logits"]
    session = Session(fused(graph) if fuse else graph, smollm2)
    token, logits = session.feed(case["prompt"])
    # transformers differs from itself by up to 1e-5, with and without its cache
    assert distance(logits[indices], want) < 1e-4
    assert token == case["tokens"][0]
