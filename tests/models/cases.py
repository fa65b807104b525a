"""Real ONNX models and what to run them on: pictures of text, something like speech, sentences.

A case is one or more runs of one model; what `carry` names of a run's outputs goes into the next
run. Random inputs come beside the real ones. Used by tests/models and e2e.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / ".cache" / "models"
DATA = ROOT / "tests" / "data"
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
LINES = ("Edgewise", "runs ONNX in", "Python, 2026.")
SEED = 11

Array = np.ndarray[Any, np.dtype[Any]]
Arrays = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class RealModel:
    """An .onnx file, and the files beside it that hold its weights."""

    file: Path
    beside: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """Runs of a model. `carry`: output -> input of the next run, over what the run gives."""

    model: RealModel
    runs: Callable[[], list[dict[str, Array]]]
    carry: Mapping[str, str] = field(default_factory=dict)


def each_run(case: Case, run: Callable[[Arrays], Arrays]) -> Iterator[Arrays]:
    """The outputs of every run, by a function that does one."""
    carried: dict[str, Array] = {}
    for inputs in case.runs():
        outputs = run({**inputs, **carried})
        carried = {goes_to: outputs[name] for name, goes_to in case.carry.items()}
        yield outputs


def random(*shape: int) -> Array:
    return np.random.default_rng([SEED, *shape]).uniform(-1, 1, shape).astype(np.float32)


def line_of_text(text: str, width: int, height: int) -> Image.Image:
    """Black on white, as high as the picture."""
    image = Image.new("RGB", (width, height), "white")
    font = ImageFont.truetype(FONT, height * 3 // 4)
    ImageDraw.Draw(image).text((4, height // 2), text, fill="black", font=font, anchor="lm")
    return image


def page_of_text(width: int, height: int) -> Image.Image:
    """A few lines, dark on a grey that grows lighter, one of them slanted."""
    shade = np.linspace(170, 250, width)[None, :, None].repeat(height, 0).repeat(3, 2)
    image = Image.fromarray(shade.astype(np.uint8))
    font = ImageFont.truetype(FONT, height // 10)
    draw = ImageDraw.Draw(image)
    for index, line in enumerate(LINES):
        draw.text((width // 10, height * (1 + index) // 5), line, fill=(20, 20, 60), font=font)
    slanted = line_of_text("slanted", width // 3, height // 10).rotate(8, expand=True)
    image.paste(slanted, (width // 2, height * 7 // 10))
    return image


def pixels(
    image: Image.Image, mean: tuple[float, ...] = (0.5,), deviation: tuple[float, ...] = (0.5,)
) -> Array:
    """[1, 3, height, width], each channel normalised."""
    values = np.asarray(image, np.float32) / 255
    normal = ((values - np.array(mean)) / np.array(deviation)).astype(np.float32)
    return np.ascontiguousarray(normal.transpose(2, 0, 1)[None])


IMAGENET = {"mean": (0.485, 0.456, 0.406), "deviation": (0.229, 0.224, 0.225)}
DETECTION = RealModel(MODELS / "PP-OCRv4/ch_PP-OCRv4_det_infer.onnx")
DIRECTION = RealModel(MODELS / "PP-OCRv4/ch_ppocr_mobile_v2.0_cls_infer.onnx")
RECOGNITION = RealModel(MODELS / "PP-OCRv4/ch_PP-OCRv4_rec_infer.onnx")
VOICE = RealModel(MODELS / "silero-vad/silero_vad_op18_ifless.onnx")
VOICE_IF = RealModel(MODELS / "silero-vad/silero_vad.onnx")
MINILM = RealModel(DATA / "minilm.onnx", (MODELS / "all-MiniLM-L6-v2/model.safetensors",))


def detection(width: int, height: int) -> list[dict[str, Array]]:
    return [
        {"x": pixels(page_of_text(width, height), **IMAGENET)},
        {"x": random(1, 3, height, width)},
    ]


def direction() -> list[dict[str, Array]]:
    upright = line_of_text("Edgewise", 192, 48)
    turned = upright.rotate(180)
    both = np.concatenate([pixels(upright), pixels(turned)])
    return [{"x": both}, {"x": random(1, 3, 48, 192)}]


def recognition() -> list[dict[str, Array]]:
    """Widths of two kinds; the second is a batch of random pictures."""
    return [{"x": pixels(line_of_text(LINES[0], 224, 48))}, {"x": random(2, 3, 48, 96)}]


def speech(seconds: float, rate: int = 16000) -> Array:
    """Something like a voice: a gliding pitch through vowels' formants, breath, and silences."""
    rng = np.random.default_rng(SEED)
    time = np.arange(int(seconds * rate)) / rate
    pitch = 120 + 25 * np.sin(2 * np.pi * 0.7 * time) + 8 * np.sin(2 * np.pi * 5 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    vowels = [(730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240)]  # Peterson and Barney 1952
    sound = np.zeros_like(time)
    for harmonic in range(1, 40):
        for index, formants in enumerate(vowels):
            near = sum(np.exp(-(((harmonic * 120 - f) / 120) ** 2)) for f in formants)
            spoken = np.sin(np.pi * (time * 2.5 - index)) ** 2
            sound += near * spoken * np.sin(harmonic * phase) / harmonic**0.5
    voiced = (np.sin(2 * np.pi * 0.8 * time - 1) > -0.2).astype(float)
    voiced = np.convolve(voiced, np.hanning(800) / np.hanning(800).sum(), "same")
    noise = rng.standard_normal(time.size)
    mixed = voiced * (sound / np.abs(sound).max() + 0.02 * noise) * 0.6 + 0.002 * noise
    result: Array = mixed.astype(np.float32)
    return result


def voice() -> list[dict[str, Array]]:
    """Consecutive chunks of 32 ms with 4 ms of the one before, as silero_vad feeds them."""
    chunk, before = 512, 64
    sound = np.concatenate([np.zeros(before, np.float32), speech(1.0)])
    rate, state = np.array(16000, np.int64), np.zeros((2, 1, 128), np.float32)
    starts = range(0, sound.size - chunk - before + 1, chunk)
    chunks = [sound[None, start : start + chunk + before] for start in starts]
    return [{"input": each, "sr": rate, "state": state} for each in chunks]


def sentences(rows: slice) -> list[dict[str, Array]]:
    """Token ids of the oracle's texts, at most 32 of each."""
    texts = [ids[:32] for ids in json.loads((DATA / "minilm_oracle.json").read_text())["ids"][rows]]
    mask = np.arange(max(map(len, texts))) < np.array([[len(ids)] for ids in texts])
    ids = np.zeros(mask.shape, np.int64)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = text
    rng = np.random.default_rng(SEED)
    fresh = rng.integers(0, 30000, (2, 5))
    given = [(ids, mask.astype(np.int64)), (fresh, np.ones_like(fresh))]
    return [{"input_ids": i, "attention_mask": m, "token_type_ids": np.zeros_like(i)}
            for i, m in given]  # fmt: skip


CASES: dict[str, Case] = {
    "detection-320x320": Case(DETECTION, lambda: detection(320, 320)),
    "detection-640x480": Case(DETECTION, lambda: detection(640, 480)),
    "direction": Case(DIRECTION, direction),
    "recognition": Case(RECOGNITION, recognition),
    "voice": Case(VOICE, voice, {"stateN": "state"}),
    "voice-if": Case(VOICE_IF, lambda: voice()[:4], {"stateN": "state"}),
    "minilm-1": Case(MINILM, lambda: sentences(slice(5, 6))),
    "minilm-16": Case(MINILM, lambda: sentences(slice(16))[:1]),
}
