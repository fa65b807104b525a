"""llama.cpp, compiled for this machine, as an engine: one JSON line a call, one back.

    PEERS/llama/bin/python bench/wasm/native_llama.py MODEL.gguf PROMPTS.json THREADS

Takes {"prompt": "128", "tokens": 64}, gives what pages/tasks.js has as `generation`. With
`--quantise SOURCE.gguf TARGET.gguf KIND` it makes another GGUF instead.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from typing import Any

import llama_cpp
import numpy as np

CONTEXT, BATCH = 1024, 512
KINDS = {"Q4_0": 2, "Q8_0": 7}  # llama.cpp's numbers of whole files' types


def quantise(source: str, target: str, kind: str) -> None:
    """Round a GGUF once more, in another way."""
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype, options.allow_requantize = KINDS[kind], True
    code = llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(options))
    if code:
        raise SystemExit(f"llama.cpp made no {kind} of {source}: {code}")


def greedy(model: Any) -> int:
    """The most likely next token."""
    logits = llama_cpp.llama_get_logits_ith(model.ctx, -1)
    return int(np.ctypeslib.as_array(logits, shape=(model.n_vocab(),)).argmax())


def generate(model: Any, given: dict[str, Any], prompt: str, tokens: int) -> dict[str, float]:
    """Times of one turn."""
    model.reset()
    start = time.perf_counter()
    model.eval(given["ids"])
    made = [greedy(model)]
    first = time.perf_counter()
    while len(made) < tokens:
        model.eval(made[-1:])
        made.append(greedy(model))
    end = time.perf_counter()
    same = [a == b for a, b in zip(made, given["greedy"], strict=False)]
    row = {f"prefill{prompt}": 1e3 * (first - start), "agree": [*same, False].index(False)}
    return row | ({"decode": 1e3 * (end - first) / (tokens - 1)} if tokens > 1 else {})


def serve(path: str, prompts: str, threads: int) -> None:
    """Answer calls until the input ends."""
    with open(prompts) as file:
        given = json.load(file)
    start = time.perf_counter()
    model = llama_cpp.Llama(
        path, n_ctx=CONTEXT, n_batch=BATCH, n_threads=threads, n_threads_batch=threads,
        verbose=False,
    )  # fmt: skip
    load = 1e3 * (time.perf_counter() - start)
    generate(model, given["128"], "128", 16)  # warm
    print(json.dumps({"load": load, "threads": threads}), flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        print(json.dumps(generate(model, given[task["prompt"]], **task)), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "--quantise":
        quantise(*sys.argv[2:])
    else:
        serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))
