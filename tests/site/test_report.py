"""The capability report and the page's texts."""

from __future__ import annotations

from dataclasses import replace

import pytest

import report
import settings
from edgewise.dtypes import DType
from edgewise.errors import InputError, NoDeviceError, QuotaError
from edgewise.router.place import Candidate, Placement
from edgewise.runtime.programs import Variant
from edgewise.runtime.session import Report
from edgewise.targets.device import DeviceFacts
from edgewise.tasks.chat import Stats

FACTS = DeviceFacts(
    target="webgpu",
    name="Some GPU",
    features=frozenset({"shader-f16", "subgroups", "timestamp-query"}),
    limits={"maxStorageBufferBindingSize": 1 << 30, "maxComputeInvocationsPerWorkgroup": 256,
            "maxComputeWorkgroupStorageSize": 16384},
    subgroup_min=32,
    subgroup_max=32,
    fallback=False,
)  # fmt: skip


def rows(facts: DeviceFacts | None) -> dict[str, str]:
    why = NoDeviceError("no WebGPU adapter") if facts is None else None
    return {row.name: row.value for row in report.device_rows(facts, why)}


def test_device_rows() -> None:
    assert rows(FACTS) == {
        "WebGPU": "Some GPU",
        "Half precision": "yes",
        "Subgroups": "32 threads",
        "Largest binding": "1.1 GB",
        "Workgroup": "256 threads, 16.4 kB shared",
        "Other features": "timestamp-query",
    }


def test_weak_device_rows() -> None:
    weak = replace(FACTS, features=frozenset({"subgroups"}), limits={}, subgroup_min=4,
                   subgroup_max=128, fallback=True)  # fmt: skip
    assert rows(weak) == {
        "WebGPU": "Some GPU (software)",
        "Half precision": "no",
        "Subgroups": "4 to 128 threads",
        "Largest binding": "not said",
        "Workgroup": "? threads, not said shared",
        "Other features": "none",
    }
    assert rows(replace(weak, features=frozenset()))["Subgroups"] == "no"


def test_no_device() -> None:
    assert rows(None) == {"WebGPU": "none: no WebGPU adapter"}
    assert report.summary(None) == "No WebGPU here."
    assert report.summary(FACTS) == "WebGPU on Some GPU."
    assert report.summary(None, WASM) == "No WebGPU here. Wasm, 1 thread."
    assert report.summary(FACTS, WASM) == "WebGPU on Some GPU. Wasm, 1 thread."


WASM = replace(FACTS, target="wasm", name="Wasm, 1 thread", features=frozenset({"simd"}),
               limits={"threads": 1, "maxBufferSize": 1 << 32})  # fmt: skip


def test_wasm_rows() -> None:
    def found(facts: DeviceFacts | None) -> list[tuple[str, str]]:
        why = None if facts else NoDeviceError("Wasm without SIMD")
        return [(row.name, row.value) for row in report.wasm_rows(facts, why)]

    assert found(None) == [("Wasm", "none: Wasm without SIMD")]
    assert found(WASM) == [("Wasm", "1 thread"), ("Relaxed SIMD", "no"), ("Wasm threads", "one")]
    many = replace(WASM, name="Wasm, 8 threads", features=frozenset({"simd", "relaxed-simd"}),
                   limits={"threads": 8})  # fmt: skip
    assert found(many) == [("Wasm", "8 threads"), ("Relaxed SIMD", "yes")]


SESSION = Report(
    FACTS,
    Variant(DType.FLOAT32, frozenset({"subgroups"})),
    "its check passed",
    (("float16", "no shader-f16"),),
    343.5,
    False,
    15_374.0,
    196_651_264,
)


def test_session_rows() -> None:
    found = [(row.name, row.value, row.unlocks) for row in report.session_rows(SESSION)]
    assert found == [
        ("Precision", "float32 + subgroups", "Its check passed; not float16: no shader-f16."),
        ("Plan", "344 ms", "The model's kernels and memory, compiled by Python here."),
        ("Model on the device", "196.7 MB, 15.4 s",
         "Kernels made ready, and weights put in their layout."),
    ]  # fmt: skip
    again = report.session_rows(replace(SESSION, rejected=(), plan_from_store=True))
    assert again[0].unlocks == "Its check passed."
    assert again[1].unlocks.endswith("read from the store.")


def test_candidates() -> None:
    where = Placement("server", "asked for", (Candidate("webgpu", "no adapter"),))
    assert [(state, row.name, row.value) for state, row in report.candidates(where)] == [
        ("chosen", "The server", "asked for."),
        ("rejected", "This device, WebGPU", "no adapter."),
    ]
    assert report.ready(where) == "Answers are made on the server."


@pytest.mark.parametrize(
    ("stats", "where", "text"),
    [
        (Stats(9, 32, 310.4, 12.34, "length"), "webgpu",
         "32 tokens · 12.3 tokens/s · first token after 310 ms · on this device"
         " · cut at the limit"),
        (Stats(9, 1, 2650.0, 0.0, "cancelled"), "server",
         "1 token · first token after 2.6 s · on the server · stopped"),
    ],
)  # fmt: skip
def test_figures(stats: Stats, where: str, text: str) -> None:
    assert report.figures(stats, where) == text
    assert report.figures(stats, where, SESSION) == text


def test_figures_name_threads() -> None:
    one = replace(FACTS, target="wasm", name="Wasm, 1 thread: a thread was lost")
    text = report.figures(Stats(9, 1, 2.0, 0.0, "stop"), "wasm", replace(SESSION, facts=one))
    assert text.endswith("on this device (Wasm, 1 thread: a thread was lost)")


def test_error_parts() -> None:
    error = QuotaError("no room", got="1 MB", need="2 MB", where="store", fix="free some")
    assert report.error_parts(error) == {
        "code": "QuotaError:",
        "what": "no room",
        "found": "Got 1 MB; need 2 MB; at store.",
        "fix": "Free some.",
    }
    assert report.error_parts(QuotaError("no room"))["found"] == ""


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (98_362_432, "98.4 MB"), (2.5e9, "2.5 GB")],
)
def test_size(nbytes: float, text: str) -> None:
    assert report.size(nbytes) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "1 s"), (59.4, "59 s"), (75, "1 min 15 s")])
def test_duration(seconds: float, text: str) -> None:
    assert report.duration(seconds) == text


def test_settings() -> None:
    page = "https://a.test/chat/index.html"
    assert settings.parse(page, "https://a.test/m.json") == settings.Settings(
        "https://a.test/m.json"
    )
    query = "?model=../x.gguf&policy=local&target=wasm&server=.&tokens=32&debug=2"
    assert settings.parse(page + query, "m") == settings.Settings(
        "https://a.test/x.gguf", "local", "wasm", "https://a.test/chat/", 32, 2
    )


def test_a_model_on_a_hub() -> None:
    model = "hf://org/name@v1/model.gguf"
    assert settings.parse(f"https://a.test/?model={model}", "m").model == model


@pytest.mark.parametrize(
    "query", ["policy=none", "target=gpu", "tokens=0", "tokens=x", "tokens=-1", "debug=5"]
)
def test_wrong_settings(query: str) -> None:
    with pytest.raises(InputError, match=query.partition("=")[0]):
        settings.parse(f"https://a.test/?{query}", "m")
