"""Node tests that a target fails, each with its cause: a list that may only become shorter."""

from __future__ import annotations

TREES = "ai.onnx.ml: decision trees are no tensor operators"
HALF = "the expected values were summed in float16; ours are summed in float32 and differ by 1 ulp"
OLD = "opset 8's Scan has a batch axis; importing begins at opset 13, with Scan from 9 on"

REFERENCE = {
    "test_ai_onnx_ml_tree_ensemble_set_membership": TREES,
    "test_ai_onnx_ml_tree_ensemble_single_tree": TREES,
    "test_attention_4d_causal_fp16_expanded": HALF,
    "test_scan_sum": OLD,
}

WEBGPU = REFERENCE
WASM = REFERENCE

KNOWN = {"REFERENCE": REFERENCE, "WEBGPU": WEBGPU, "WASM": WASM}
#: The share of the baseline that a target has to pass.
SHARE = {"REFERENCE": 0.95, "WEBGPU": 0.93, "WASM": 0.95}
