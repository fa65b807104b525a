"""The Wasm executor in real browsers: threads, memory, weights, and what goes wrong with them."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np
import pytest

from e2e.browsers import engines
from e2e.wasm_page import CHOICES, WasmPage
from edgewise.dtypes import DType
from edgewise.graph.builder import GraphBuilder
from edgewise.graph.graph import Graph, Source
from edgewise.targets.device import DeviceFacts
from edgewise.targets.wasm.compile import compile_plan
from tests.graphs import turned

ROWS = (300, 17, 0, 1)
UPLOAD_NBYTES = 16 << 20


def answers(wasm: WasmPage, facts: DeviceFacts) -> None:
    """The device that is open computes what it should."""
    plan = compile_plan({"main": turned(max(ROWS))}, {}, facts).to_json()
    arrays = [np.random.default_rng(n).random((n, 7, 50), dtype=np.float32) for n in ROWS]
    jobs = [
        {"plan": plan, "inputs": {"x": base64.b64encode(x.tobytes()).decode()},
         "bindings": {"n": len(x)}, "outputs": ["y"]}
        for x in arrays
    ]  # fmt: skip
    for x, result in zip(arrays, wasm.run(jobs), strict=True):
        assert "error" not in result, result
        got = np.frombuffer(base64.b64decode(result["outputs"]["y"]), np.float32)[: x.size]
        want = x.transpose(0, 2, 1).reshape(len(x), 10, 35).transpose(2, 1, 0)
        assert np.array_equal(got.reshape(want.shape), want)


@engines("chromium", "firefox")
def test_a_plan_with_a_symbol(wasm: WasmPage) -> None:
    for module, threads in [*CHOICES, ("threads", 5)]:
        facts = wasm.open(module=module, threads=threads)
        assert facts.limits["threads"] == threads
        assert ("relaxed-simd" in facts.features) is (module != "simd")
        answers(wasm, facts)


@engines("chromium", "firefox")
def test_one_module_is_fetched(wasm: WasmPage) -> None:
    """With threads where the page is isolated; else one without, and the name says why."""
    facts = wasm.open()
    assert facts.name == f"Wasm, {facts.limits['threads']} threads"
    answers(wasm, facts)
    assert modules(wasm) == ["threads"]

    wasm.site.log.clear()
    wasm.site.isolated = False
    wasm.go()
    facts = wasm.open()
    assert facts.name == "Wasm, 1 thread: the page is not cross-origin isolated"
    answers(wasm, facts)
    assert modules(wasm) == ["relaxed"]
    refused = wasm.attempt("await wasm.open({ module: 'threads', threads: 2 })")
    assert refused["code"] == "NoDeviceError"
    assert "isolated" in refused["need"]

    wasm.site.cut("/shims/wasm/relaxed.wasm", 0)  # no network for the next visit: it was kept
    wasm.go()
    answers(wasm, wasm.open())


def modules(wasm: WasmPage) -> list[str]:
    """The modules that were asked for."""
    paths = [request.path for request in wasm.site.log]
    return [path.split("/")[-1][: -len(".wasm")] for path in paths if path.endswith(".wasm")]


@engines("chromium", "firefox")
@pytest.mark.parametrize("thread", [0, 1])
def test_a_thread_that_dies(wasm: WasmPage, thread: int) -> None:
    """Without a word, in the middle of a run: every call says so, and the next device has one."""
    facts = wasm.open(module="threads", threads=2)
    plan = compile_plan({"main": turned(4000)}, {}, facts).to_json()
    found = wasm.attempt(
        """const e = await wasm.load(device(), args[0], null, () => {});
           const again = async () => { for (;;) await wasm.run(e, "main", { n: 4000 }); };
           const running = again().catch((error) => error);
           await wasm.read(e, "y", 4); // after the first of them
           device().threads[args[1]].end();
           const last = await running;
           const late = await wasm.read(e, "y").catch((error) => error);
           return { last, late };""",
        plan, thread,
    )  # fmt: skip
    for error in (found["last"], found["late"]):
        assert error["code"] == "DeviceLostError"
        assert error["got"] == ["the first thread is gone", "a helper thread is gone"][thread]
    facts = wasm.open()
    assert facts.name == "Wasm, 1 thread: a thread was lost"
    answers(wasm, facts)


@engines("chromium", "firefox")
@pytest.mark.parametrize(("module", "threads"), [("relaxed", 1), ("threads", 2)])
def test_a_trap(wasm: WasmPage, module: str, threads: int) -> None:
    """A kernel that leaves the memory ends its device."""
    facts = wasm.open(module=module, threads=threads)
    text = compile_plan({"main": turned(9000)}, {}, facts).to_json()
    found = wasm.attempt(
        """const plan = JSON.parse(args[0]);
           for (const step of plan.programs.main) step[4][1] = 0x1fffffff; // a move's offset
           const e = await wasm.load(device(), JSON.stringify(plan), null, () => {});
           await wasm.run(e, "main", { n: 9000 });""",
        text,
    )  # fmt: skip
    assert found["code"] == "DeviceLostError"
    assert "out of bounds" in found["got"]
    answers(wasm, wasm.open())


@engines("chromium", "firefox")
def test_memory_that_cannot_grow(wasm: WasmPage) -> None:
    facts = wasm.open(module="relaxed")
    text = compile_plan({"main": turned(300)}, {}, facts).to_json()
    found = wasm.attempt(
        """const plan = JSON.parse(args[0]);
           plan.buffers[0][2] = args[1];
           await wasm.load(device(), JSON.stringify(plan), null, () => {});""",
        text, facts.limits["maxBufferSize"],
    )  # fmt: skip
    assert found["code"] == "QuotaError"
    assert "bytes more" in found["got"]
    assert found["need"]
    assert found["fix"]
    answers(wasm, facts)


@engines("chromium", "firefox")
def test_weights_come_one_after_the_other(wasm: WasmPage) -> None:
    """At most two pieces are on their way; an error of the file is the load's."""
    facts = wasm.open()
    graph, tensors = weighty()
    plan = compile_plan({"main": graph}, tensors, facts)
    found = wasm.attempt(
        """let now = 0, most = 0, largest = 0;
           const bytesAt = async (start, nbytes) => {
             most = Math.max(most, ++now);
             largest = Math.max(largest, nbytes);
             await new Promise(setTimeout);
             now--;
             return new Uint8Array(nbytes).fill(1 + (start >> 24));
           };
           const progress = [], note = (...each) => progress.push(each);
           const e = await wasm.load(device(), args[0], bytesAt, note);
           await wasm.run(e, "main", {});
           const y = await wasm.read(e, "y");
           const bad = async () => { throw { code: "StoreError", what: "a disk" }; };
           const load = (...others) => wasm.load(device(), args[0], bad, note, ...others);
           const refused = await load().catch((error) => error);
           const [peak, nbytes] = [e.peak, e.nbytes];
           const shared = await load([e]);
           const own = shared.nbytes;
           await wasm.close(e);
           const kept = shared.nbytes;
           await wasm.close(shared);
           return { most, largest, progress, ends: [y[0], y[2 << 24], y.length], refused,
             peak, nbytes, own, kept };""",
        plan.to_json(),
    )  # fmt: skip
    nbytes = tensors["w"].nbytes
    steps = (0, UPLOAD_NBYTES, 2 * UPLOAD_NBYTES, nbytes)
    assert found["progress"][:4] == [[done, nbytes] for done in steps]
    assert found["most"] == 1
    assert found["largest"] == UPLOAD_NBYTES
    assert found["ends"] == [1, 3, nbytes]
    assert found["refused"] == {"code": "StoreError", "what": "a disk"}
    assert found["peak"] - found["nbytes"] == UPLOAD_NBYTES
    assert found["kept"] - found["own"] == nbytes


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor of a model file."""

    type: str
    offset: int
    nbytes: int


def weighty() -> tuple[Graph, dict[str, Stored]]:
    """A graph of one weight that comes in three uploads."""
    n = 5 * UPLOAD_NBYTES // 8
    b = GraphBuilder("weighty")
    w = b.constant(DType.FLOAT32, (n,), source=Source("w", "F32", "values"))
    b.output("y", b.reshape(w, (1, n)))
    return b.build(), {"w": Stored("F32", 0, 4 * n)}
