"""The model page in real browsers: real ONNX files are dropped, run, and held against onnxruntime.

One page a browser for all tests of this file, so each test also shows that the page lives on.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from playwright.sync_api import Browser, Page, expect

from e2e.asking import BOOT_MS, kept_offline, shown_error
from e2e.browsers import ROOT, Engine, engines
from e2e.conftest import ACTION_TIMEOUT_MS, BUILT_SITE
from e2e.server import SiteServer
from e2e.test_page import axe

MODELS = ROOT / ".cache" / "models"
DIRECTION = MODELS / "PP-OCRv4" / "ch_ppocr_mobile_v2.0_cls_infer.onnx"
SILERO = MODELS / "silero-vad" / "silero_vad_op18_ifless.onnx"
TARGETS = {
    "chromium": ("webgpu", "wasm", "reference"),
    "firefox": ("webgpu", "wasm"),
    "chromium_webnn": ("webnn", "webgpu"),
}
ALL = engines(*TARGETS)
TOLERANCE = 1e-3
DROP = """files => {
  const transfer = new DataTransfer();
  for (const [name, data] of files) {
    const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
    transfer.items.add(new File([bytes], name));
  }
  const options = { dataTransfer: transfer, bubbles: true, cancelable: true };
  document.body.dispatchEvent(new DragEvent("dragover", options));
  const over = document.querySelector(".drop").hasAttribute("data-over");
  document.body.dispatchEvent(new DragEvent("drop", options));
  return over;
}"""


@pytest.fixture(scope="module")
def server() -> Iterator[SiteServer]:
    assert (BUILT_SITE / "build.json").exists(), "build/site is missing: run `make site`"
    with SiteServer(BUILT_SITE) as server:
        yield server


@pytest.fixture(scope="module")
def model_page(browser: Browser, server: SiteServer) -> Iterator[Page]:
    """The page, open in this browser until the tests of this file have run in it."""
    server.mend()
    context = browser.new_context()
    context.set_default_timeout(ACTION_TIMEOUT_MS)
    page = context.new_page()
    page.goto(f"{server.url}/model.html")
    yield page
    context.close()


def drop(page: Page, *files: tuple[str, bytes]) -> None:
    given = [[name, base64.b64encode(data).decode()] for name, data in files]
    assert page.evaluate(DROP, given), "the place to drop shows that files are over it"


def opened(page: Page, title: str) -> None:
    expect(page.locator("#model-title")).to_have_text(title, timeout=BOOT_MS)
    expect(page.locator("#choices")).to_be_visible(timeout=BOOT_MS)
    expect(page.locator("#error")).to_be_hidden()


def run(page: Page, target: str) -> dict[str, str]:
    """Run; each output's line."""
    page.locator(f"input[value={target}]").check()
    page.get_by_role("button", name="Run").click()
    expect(page.locator("#result")).to_be_visible(timeout=BOOT_MS)
    expect(page.get_by_role("status")).to_contain_text("Done on", timeout=BOOT_MS)
    names = page.locator("#made dt").all_text_contents()
    return dict(zip(names, page.locator("#made > div").all_text_contents(), strict=True))


def agree(shown: dict[str, str], path: Path, inputs: dict[str, Any]) -> None:
    """The values on the page are onnxruntime's for the same inputs."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    assert list(shown) == names
    for name, expected in zip(names, session.run(names, inputs), strict=True):
        shape, _, values = shown[name].removeprefix(name).partition("]")
        assert shape == f"float32 [{', '.join(map(str, expected.shape))}"
        first = [float(each) for each in re.sub(r" and .*", "", values).split(",")]
        assert len(first) == min(8, expected.size)
        np.testing.assert_allclose(first, expected.ravel()[: len(first)], rtol=0, atol=TOLERANCE)


def figure(page: Page, name: str) -> str:
    row = page.locator("#figures > div", has=page.locator("dt", has_text=re.compile(f"^{name}$")))
    return row.locator(".value").text_content() or ""


@ALL
def test_direction_of_text(model_page: Page, server: SiteServer, engine: Engine) -> None:
    """Paddle's own names for sizes, opset 11; the packages come with the first file."""
    expect(model_page.locator("#loading")).to_be_hidden(timeout=BOOT_MS)
    assert not [request for request in server.log if "/packages/" in request.path]
    drop(model_page, (DIRECTION.name, DIRECTION.read_bytes()))
    opened(model_page, DIRECTION.name)
    assert [request for request in server.log if "/packages/" in request.path]
    model_page.get_by_label("x, axis 2").fill("48")
    model_page.get_by_label("x, axis 3").fill("192")
    x = np.random.default_rng(0).random((1, 3, 48, 192), np.float32)
    for target in TARGETS[engine.name]:
        agree(run(model_page, target), DIRECTION, {"x": x})
        assert int(figure(model_page, "Dispatches|Calls|Steps")) > 50
        memory = model_page.locator("#figures > div", has_text="Memory").text_content() or ""
        assert "as planned" in memory, memory
    server.log.clear()


@ALL
def test_speech_detector(model_page: Page, engine: Engine) -> None:
    """Symbols, a whole number that decides on a branch, another seed; chosen, not dropped."""
    model_page.set_input_files("#files", SILERO)
    opened(model_page, SILERO.name)
    for label, value in (("batch", "2"), ("sequence", "576"), ("sr", "16000")):
        model_page.get_by_label(label, exact=True).fill(value)
    model_page.get_by_label("Seed").fill("3")
    draw = np.random.default_rng(3)
    inputs = {"input": draw.random((2, 576), np.float32), "sr": np.array(16000),
              "state": draw.random((2, 2, 128), np.float32)}  # fmt: skip
    target = TARGETS[engine.name][0]
    agree(run(model_page, target), SILERO, inputs)
    box = "#placing-box" if target == "webnn" else "#fusion-box"
    expect(model_page.locator(box)).to_be_visible()
    model_page.locator(f"{box} summary").click()
    expect(model_page.locator(f"{box} li").first).to_contain_text("did ")


@ALL
def test_broken_files_have_a_name_and_the_next_one_works(
    model_page: Page, server: SiteServer
) -> None:
    page, good = model_page, DIRECTION.read_bytes()
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])]
    nodes = [helper.make_node("StringConcat", ["x", "x"], ["a"]),
             helper.make_node("NoSuchThing", ["a"], ["y"], domain="nobody")]  # fmt: skip
    graph = helper.make_graph(nodes, "strange", inputs, inputs[:0])
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("nobody", 1)]
    strange = helper.make_model(graph, opset_imports=opsets)
    for name, data, code in (
        ("cut.onnx", good[: len(good) // 2], "FormatError"),
        ("noise.onnx", b"not a model at all", "FormatError"),
        ("notes.txt", b"no model", "InputError"),
        ("strange.onnx", strange.SerializeToString(), "UnsupportedError"),
    ):
        drop(page, (name, data))
        box = shown_error(page, code)
        expect(page.locator("#choices")).to_be_hidden()
        if name == "strange.onnx":
            expect(box).to_contain_text("StringConcat")
            expect(box).to_contain_text("nobody.NoSuchThing")
        drop(page, (DIRECTION.name, good))
        opened(page, DIRECTION.name)

    page.get_by_label("x, axis 2").fill("0")
    page.get_by_role("button", name="Run").click()
    expect(shown_error(page, "InputError")).to_contain_text("x, axis 2")
    # nothing left the page: since the first model there was no request but for the site's own files
    assert {request.method for request in server.log} <= {"GET"}
    files = {request.path.partition("?")[0] for request in server.log}
    assert not {path for path in files if not (BUILT_SITE / path.lstrip("/")).exists()}


def outside() -> tuple[bytes, bytes]:
    """A model whose weight lies in w.bin, and that file."""
    weight = np.arange(4, dtype=np.float32)
    tensor = onnx.numpy_helper.from_array(weight, "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="w.bin")
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["y"])], "outside",
        [value("x", TensorProto.FLOAT, [4])], [value("y", TensorProto.FLOAT, [4])], [tensor],
    )  # fmt: skip
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    return proto.SerializeToString(), weight.tobytes()


@ALL
def test_without_a_network_with_weights_beside_the_model(
    model_page: Page, server: SiteServer, engine: Engine
) -> None:
    """A model and its data files are dropped together; in one browser on a second visit."""
    if engine.name == "chromium":
        kept_offline(model_page)
    server.offline = True
    if engine.name == "chromium":
        model_page.reload()
    own, data = outside()
    drop(model_page, ("outside.onnx", own), ("w.bin", data))
    opened(model_page, "outside.onnx")
    model_page.get_by_label("Seed").fill("5")
    x = np.random.default_rng(5).random(4, np.float32)
    shown = run(model_page, "webgpu")["y"].partition("]")[2]
    np.testing.assert_allclose([float(v) for v in shown.split(",")], x * np.arange(4), rtol=1e-5)


@engines("chromium")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessible(model_page: Page, scheme: Literal["light", "dark"]) -> None:
    """axe finds nothing, wide or narrow, with a result or an error; nothing is cut off."""
    model_page.emulate_media(color_scheme=scheme)
    drop(model_page, (SILERO.name, SILERO.read_bytes()))
    opened(model_page, SILERO.name)
    model_page.get_by_label("sequence", exact=True).fill("576")
    run(model_page, "reference")
    for width in (1100, 360):
        model_page.set_viewport_size({"width": width, "height": 740})
        assert axe(model_page) == [], f"{width=}"
        assert model_page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
    drop(model_page, ("notes.txt", b""))
    shown_error(model_page, "InputError")
    assert axe(model_page) == []


@engines("chromium")
def test_keyboard(model_page: Page) -> None:
    """Everything is reached and done by keys; the choice of files is a control of the browser."""
    model_page.set_input_files("#files", SILERO)
    opened(model_page, SILERO.name)
    model_page.locator("#files").focus()
    reached = []
    for _ in range(6):
        model_page.keyboard.press("Tab")
        reached.append(model_page.evaluate("document.activeElement.name"))
    assert reached == ["size-0", "size-1", "fill-0", "target", "seed", ""]
    model_page.get_by_label("sequence", exact=True).fill("576")
    model_page.locator("[name=seed]").press("Enter")
    expect(model_page.get_by_role("status")).to_contain_text("Done on", timeout=BOOT_MS)
