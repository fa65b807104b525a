"""What every engine is given, made once: token ids, a page of text, thirty seconds of sound.

    PEERS/convert/bin/python bench/wasm/convert/inputs.py LICENSE MINILM OUT

MINILM is that model's folder; OUT/hf is what llm.py wrote. Writes OUT/inputs: prompts.json (text,
ids and 64 greedy tokens in f32 of prompts of 128 and 512 tokens), minilm-BxL-NAME.bin,
page640.bin and page320.bin (f32), mel30s.bin (f32). Needs the packages of peers/convert.txt, and
the font DejaVu Sans.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from transformers import AutoModelForCausalLM, AutoTokenizer, WhisperFeatureExtractor

LENGTHS = (128, 512)
GREEDY = 64
SHAPES = ((1, 32), (1, 128), (16, 128))
CLS, SEP = 101, 102
PAGE, MARGIN, LINE, POINTS = 640, 12, 44, 22
RATE, SECONDS = 16_000, 30
FONT = "DejaVuSans.ttf"
Array = np.ndarray[Any, Any]


def prompts(text: str, folder: Path) -> dict[str, Any]:
    """Beginnings of a text that are as long when they are encoded again, and what follows."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = tokenizer(text)["input_ids"]
    found: dict[str, Any] = {}
    for length in LENGTHS:
        parts = (tokenizer.decode(ids[start : start + length]) for start in range(100))
        part = next(p for p in parts if len(tokenizer(p)["input_ids"]) == length)
        given = tokenizer(part, return_tensors="pt")
        with torch.no_grad():
            made = model.generate(
                **{k: given[k] for k in ("input_ids", "attention_mask")},
                max_new_tokens=GREEDY, min_new_tokens=GREEDY, do_sample=False,
            )  # fmt: skip
        found[str(length)] = {"text": part, "ids": given["input_ids"][0].tolist(),
                              "greedy": made[0][length:].tolist()}  # fmt: skip
    return found


def sentences(text: str, folder: Path, out: Path) -> None:
    """Ids, mask and types of MiniLM's inputs, int64 as ONNX has them."""
    ids = AutoTokenizer.from_pretrained(folder)(text)["input_ids"][1:-1]
    for batch, seq in SHAPES:
        rows = [[CLS, *ids[k * 97 : k * 97 + seq - 2], SEP] for k in range(batch)]
        given = {"input_ids": np.array(rows, np.int64)}
        given["attention_mask"] = np.ones_like(given["input_ids"])
        given["token_type_ids"] = np.zeros_like(given["input_ids"])
        for name, array in given.items():
            array.tofile(out / f"minilm-{batch}x{seq}-{name}.bin")


def page(text: str) -> Array:
    """Lines of black text on white, normalised to -1 … 1: [1, 3, 640, 640]."""
    picture = Image.new("RGB", (PAGE, PAGE), "white")
    draw = ImageDraw.Draw(picture)
    font = ImageFont.truetype(FONT, POINTS)
    words = iter(text.split())
    for top in range(MARGIN, PAGE - 2 * POINTS, LINE):
        line = ""
        while draw.textlength(line, font=font) < PAGE - 12 * POINTS / 2:
            line += next(words) + " "
        draw.text((MARGIN, top), line, fill="black", font=font)
    pixels = np.asarray(picture).astype(np.float32) / 127.5 - 1
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])


def speech() -> Array:
    """Vowels: a gliding voice through moving resonances, in bursts; speed needs no words."""
    t = np.arange(RATE * SECONDS) / RATE
    pitch = 120 + 25 * np.sin(2 * np.pi * 0.4 * t)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    sound = np.zeros_like(t)
    for harmonic in range(1, 30):
        strength = sum(
            np.exp(
                -(((harmonic * pitch - centre - sweep * np.sin(2 * np.pi * rate * t)) / 120) ** 2)
            )
            for centre, sweep, rate in ((600, 250, 1.1), (1500, 500, 0.7), (2500, 300, 1.7))
        )
        sound += strength * np.sin(harmonic * phase)
    sound *= np.clip(np.sin(2 * np.pi * 2.5 * t), 0, None)
    loud: Array = 0.3 * sound / np.abs(sound).max()
    return loud.astype(np.float32)


def main() -> None:
    """Write everything."""
    licence, minilm, out = map(Path, sys.argv[1:])
    text = " ".join(licence.read_text().split())
    inputs = out / "inputs"
    inputs.mkdir(parents=True, exist_ok=True)
    (inputs / "prompts.json").write_text(json.dumps(prompts(text, out / "hf")))
    sentences(text, minilm, inputs)
    pixels = page(text)
    pixels.tofile(inputs / "page640.bin")
    np.ascontiguousarray(pixels[:, :, :320, :320]).tofile(inputs / "page320.bin")
    mel = WhisperFeatureExtractor(feature_size=80)(
        speech(), sampling_rate=RATE, return_tensors="np"
    )
    mel.input_features.astype(np.float32).tofile(inputs / "mel30s.bin")


if __name__ == "__main__":
    main()
