"""The model page's logic: real models on the NumPy reference, and what the page would show."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import dropped
import model_text
from edgewise.errors import InputError, NoDeviceError
from edgewise.formats.onnx import OnnxModel
from edgewise.formats.onnx_read import parse
from edgewise.host.base import Device, Target
from edgewise.host.cpython import CPythonHost
from edgewise.passes.base import Note
from model import ModelPage, Opened, chosen
from view import Update, View

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


class NumpyHost(CPythonHost):
    """This machine without its GPU."""

    async def open_device(self, target: Target | None = None) -> Device:
        if target != "reference":
            raise NoDeviceError("WebGPU", got="no adapter")
        return await super().open_device(target)


class GivenFile:
    """A file that a person gave; `reads` counts how often its bytes were asked for."""

    def __init__(self, name: str, data: bytes, nbytes: int | None = None) -> None:
        self.name, self.data, self.nbytes = name, data, len(data) if nbytes is None else nbytes
        self.reads = 0

    async def read(self) -> bytes:
        self.reads += 1
        return self.data


class Shown:
    """What the page shows: texts, attributes and properties by target, children by parent."""

    def __init__(self) -> None:
        self.now: dict[tuple[str, str], Any] = {}
        self.children: dict[str, list[dict[str, Any]]] = {}

    def apply(self, updates: Sequence[Update]) -> None:
        for target, operation, value in updates:
            if operation == "child":
                assert isinstance(value, dict)
                self.children.setdefault(target, []).append(value)
            elif operation == "text" and value == "":
                self.children.pop(target, None)
            self.now[target, operation] = value

    def hidden(self, target: str) -> Any:
        return self.now[target, ".hidden"]

    def rows(self, section: str) -> dict[str, dict[str, str]]:
        parts = [child["parts"] for child in self.children.get(section, [])]
        return {each["name"]: each for each in parts}


class Session:
    """A page with its host; `give` and `run` end when the page has done it."""

    def __init__(self, folder: Path) -> None:
        self.shown = Shown()
        self.page = ModelPage(NumpyHost(folder), View(self.shown.apply))  # type: ignore[arg-type]

    async def give(self, *files: GivenFile) -> None:
        await self._event({"id": "files", "value": None, "files": files})

    async def run(self, **form: str) -> None:
        await self._event({"id": "run", "value": {"target": "reference", "seed": "0", **form}})

    async def _event(self, event: dict[str, Any]) -> None:
        self.page.on_event(event)
        while self.page._tasks:
            await asyncio.wait(self.page._tasks)
        await asyncio.sleep(0)

    def error(self) -> str | None:
        return None if self.shown.hidden("error") else self.shown.now["error/code", "text"]


@pytest.fixture
def play(tmp_path: Path) -> Callable[[Callable[[Session], Awaitable[None]]], None]:
    def run(script: Callable[[Session], Awaitable[None]]) -> None:
        async def whole() -> None:
            await script(Session(tmp_path))

        asyncio.run(whole())

    return run


def model(nodes: Sequence[onnx.NodeProto], inputs: dict[str, Any], outputs: Sequence[str],
          tensors: Sequence[onnx.TensorProto] = ()) -> bytes:  # fmt: skip
    """The bytes of a model; inputs are (type, shape)."""
    graph = helper.make_graph(
        nodes, "small",
        [helper.make_tensor_value_info(name, *each) for name, each in inputs.items()],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs], tensors,
    )  # fmt: skip
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    data: bytes = proto.SerializeToString()
    return data


def small() -> bytes:
    """y = x + the number in `n`, for x of an open batch and an axis without a name."""
    nodes = [
        helper.make_node("Cast", ["n"], ["f"], to=FLOAT),
        helper.make_node("Add", ["x", "f"], ["y"]),
    ]
    return model(nodes, {"x": (FLOAT, ["batch", "?"]), "n": (INT64, [])}, ["y"])


def outside() -> tuple[bytes, bytes]:
    """A model whose weight lies in small.bin, and that file."""
    weight = np.arange(4, dtype=np.float32)
    tensor = numpy_helper.from_array(weight, "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="small.bin")
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    return model(nodes, {"x": (FLOAT, [4])}, ["y"], [tensor]), weight.tobytes()


def test_targets_of_this_browser(play: Any) -> None:
    async def script(session: Session) -> None:
        await session.page.do(session.page.start())
        await asyncio.sleep(0)
        now = session.shown.now
        assert now["target-webgpu/choice", ".disabled"] is True
        assert now["target-webnn/choice", ".disabled"] is True
        assert now["target-reference/choice", ".checked"] is True
        assert session.shown.rows("targets")["WebGPU"]["about"] == "not here: no adapter"
        assert session.shown.hidden("loading") is True

    play(script)


def test_a_model_is_shown_and_runs(play: Any) -> None:
    async def script(session: Session) -> None:
        await session.give(GivenFile("small.onnx", small()))
        shown = session.shown
        assert session.error() is None
        assert shown.now["model-title", "text"] == "small.onnx"
        assert shown.rows("facts")["Opset"]["value"] == "ai.onnx 18"
        assert shown.rows("inputs")["x"]["shape"] == "float [batch, ?]"
        assert list(shown.rows("sizes")) == ["batch", "x, axis 1"]
        assert shown.now["size-1/field", "@value"] == "64"
        assert list(shown.rows("fills")) == ["n"]
        assert shown.now["run", ".disabled"] is False

        await session.run(**{"size-0": "2", "size-1": "3", "fill-0": "10", "seed": "7"})
        assert session.error() is None
        expected = np.random.default_rng(7).random((2, 3), np.float32) + 10
        row = shown.rows("made")["y"]
        assert row["value"] == "float32 [2, 3]"
        assert row["unlocks"] == ", ".join(f"{x:.6g}" for x in expected.ravel().tolist())
        assert shown.now["made-up", "text"].endswith("order; n = 10.")
        assert shown.rows("figures")["Ran on"]["value"] == "NumPy"
        assert "as planned" in shown.rows("figures")["Memory"]["unlocks"]
        assert shown.now["status", "text"].startswith("Done on NumPy")
        assert shown.hidden("result") is False

    play(script)


def test_weights_beside_the_model_together_or_later(play: Any) -> None:
    async def script(session: Session) -> None:
        own, data = outside()
        for gifts in (
            ([["m.onnx", own], ["small.bin", data]],),
            (
                [["m.onnx", own]],
                [["small.bin", data]],
            ),
        ):
            for gift in gifts:
                await session.give(*(GivenFile(str(n), bytes(d)) for n, d in gift))  # type: ignore[arg-type]
            assert session.error() is None
            await session.run()
            assert session.shown.rows("made")["y"]["value"] == "float32 [4]"

        await session.give(GivenFile("m.onnx", own))
        assert session.error() == "InputError:"
        assert "small.bin" in session.shown.now["error/found", "text"]
        assert session.shown.hidden("choices") is True

    play(script)


def test_errors_have_names_and_the_next_file_works(play: Any) -> None:
    async def script(session: Session) -> None:
        good = small()
        unknown = model([helper.make_node("StringConcat", ["x", "x"], ["a"]),
                         helper.make_node("NoSuchThing", ["a"], ["y"])],
                        {"x": (FLOAT, [1])}, ["y"])  # fmt: skip
        for file, code in (
            (GivenFile("cut.onnx", good[:-5]), "FormatError:"),
            (GivenFile("noise.onnx", bytes(range(256))), "FormatError:"),
            (GivenFile("notes.txt", b"no model"), "InputError:"),
            (GivenFile("unknown.onnx", unknown), "UnsupportedError:"),
        ):
            await session.give(file)
            assert session.error() == code, file.name
            assert session.shown.hidden("choices") is True
            assert session.shown.now["run", ".disabled"] is True
            await session.give(GivenFile("small.onnx", good))
            assert session.error() is None
            assert session.shown.hidden("choices") is False

        await session.give(GivenFile("unknown.onnx", unknown))
        found = session.shown.now["error/found", "text"]
        assert "StringConcat" in found
        assert "NoSuchThing" in found
        assert session.shown.hidden("model") is False  # what it is can be seen all the same

    play(script)


def test_what_cannot_be_read_is_refused_before_it_is(play: Any) -> None:
    async def script(session: Session) -> None:
        huge = GivenFile("huge.onnx", b"", nbytes=5 << 30)
        await session.give(huge)
        assert session.error() == "InputError:"
        text = GivenFile("notes.txt", b"no model")
        await session.give(text)
        assert huge.reads == text.reads == 0

    play(script)


@pytest.mark.parametrize(
    "form",
    [{"size-0": "0", "size-1": "1"}, {"size-0": "1", "size-1": "x"}, {"size-0": "1"},
     {"size-0": "1", "size-1": "1", "seed": "-1"}, {"size-0": "16000000", "size-1": "16000000"}],
)  # fmt: skip
def test_wrong_numbers_are_named_and_can_be_corrected(play: Any, form: dict[str, str]) -> None:
    async def script(session: Session) -> None:
        await session.give(GivenFile("small.onnx", small()))
        await session.run(**form)
        assert session.error() == "InputError:"
        assert session.shown.now["run", ".disabled"] is False
        await session.run(**{"size-0": "1", "size-1": "2"})
        assert session.error() is None

    play(script)


def read(nodes: Sequence[onnx.NodeProto], inputs: dict[str, Any], outputs: Sequence[str],
         tensors: Sequence[onnx.TensorProto] = ()) -> OnnxModel:  # fmt: skip
    return parse(model(nodes, inputs, outputs, tensors))


def test_open_sizes() -> None:
    identity = [helper.make_node("Identity", ["x"], ["y"])]
    onnx = read(identity, {"x": (FLOAT, ["n", 3, "h", "?", None]), "z": (FLOAT, ["h", 0])}, ["y"])
    assert [(size.key, size.proposed) for size in dropped.sizes(onnx)] == [
        ("n", 1), ("h", 64), ("x[3]", 64), ("x[4]", 64), ("z[1]", 64),
    ]  # fmt: skip


def test_made_up_inputs_are_reproducible_and_in_their_types() -> None:
    identity = [helper.make_node("Identity", ["x"], ["y"])]
    weight = numpy_helper.from_array(np.zeros(2, np.float32), "w")
    types = {"x": FLOAT, "h": TensorProto.FLOAT16, "i": TensorProto.INT32, "b": TensorProto.BOOL,
             "w": FLOAT}  # fmt: skip
    onnx = read(identity, {name: (type, [2]) for name, type in types.items()}, ["y"], [weight])
    made = dropped.inputs(onnx, dropped.Choice({}, {"i": -3}, 5))
    assert {name: str(array.dtype) for name, array in made.items()} == {
        "x": "float32", "h": "float16", "i": "int32", "b": "bool",
    }  # fmt: skip
    draw = np.random.default_rng(5)
    assert (made["x"] == draw.random(2, np.float32)).all()
    assert (made["h"] == draw.random(2, np.float32).astype(np.float16)).all()
    assert (made["i"] == -3).all()
    assert (made["b"] == draw.integers(0, 2, 2).astype(bool)).all()


def test_the_form_gives_what_was_chosen() -> None:
    onnx = parse(small())
    opened = Opened(onnx, None, dropped.sizes(onnx), dropped.whole(onnx))  # type: ignore[arg-type]
    form = {"size-0": "2", "size-1": " 5 ", "fill-0": "", "seed": "9"}
    assert chosen(opened, form) == dropped.Choice({"batch": 2, "x[1]": 5}, {}, 9)
    with pytest.raises(InputError, match="input n"):
        chosen(opened, {**form, "fill-0": "1.5"})


def test_notes_that_are_alike_share_a_row() -> None:
    notes = [Note("join add", f"n{i}", "did join it with relu") for i in range(5)]
    notes.append(Note("join mul", "m", "declined because two nodes read it"))
    assert model_text.fusion_title(notes) == "5 done, 1 declined"
    rows = [(state, row.name, row.value) for state, row in model_text.notes_rows(notes)]
    assert rows == [
        ("chosen", "join add ×5", "did join it with relu, at n0, n1, n2 …"),
        ("rejected", "join mul", "declined because two nodes read it, at m"),
    ]
    many = [Note("fold", "", f"did {i}") for i in range(model_text.SHOWN_NOTES + 3)]
    assert model_text.notes_rows(many)[-1][1].value == "and 3 more"


def test_placing_is_told_apart_and_counted() -> None:
    notes = [Note("place", "n", "did put sin on webgpu"),
             Note("place", "g", "did put 5 nodes on webnn and 1 on webgpu"),
             Note("fuse", "a", "did join it"), Note("fit", "r", "did rewrite relu")]  # fmt: skip
    placing = model_text.placing(notes)
    assert [note.origin for note in placing] == ["r", "n", "g"]
    assert model_text.placing_title(placing) == "put 5 nodes on webnn and 1 on webgpu"
    assert model_text.placing_title([]) == ""


def test_values_with_six_digits() -> None:
    assert model_text.values(np.array([1 / 3, 2e-9], np.float32)) == "0.333333, 2e-09"
    assert model_text.values(np.arange(1010)).endswith("7 and 1,002 more")
    assert model_text.values(np.zeros((0, 2))) == "no elements"
