"""Writes the site's model index: `.venv/bin/python tools/site_index.py` packs the models of
.cache/models into build/models, and says in index.json beside them what each is for.

build_site.py runs it. Without the models that only tests need, the index has what is left.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "pyapp"))

from edgewise.hub.browser import BUILTINS  # noqa: E402  found by the line above
from edgewise.hub.index import Entry  # noqa: E402
from edgewise.hub.write import add, composed_of, entry_of, stating, variant_of  # noqa: E402
from edgewise.store.manifest import Manifest  # noqa: E402
from edgewise.store.pack import pack  # noqa: E402

FETCHED = ROOT / ".cache" / "models"
PACKED = ROOT / "build" / "models"


@dataclass(frozen=True, slots=True)
class Model:
    """What set-up fetches of a model, and what its manifest does not say.

    files  several are components of one variant.
    int8   whether a variant in 8 bits is packed as well.
    """

    files: tuple[str, ...]
    said: dict[str, Any] = field(default_factory=dict)
    int8: bool = False


MODELS = (
    Model(("SmolLM2-135M-Instruct.Q4_1.gguf",), {"version": "1.0.0", "languages": ("en",)}),
    Model(("all-MiniLM-L6-v2",), {"version": "2.0.0", "languages": ("en",)}, int8=True),
    Model(
        (
            "PP-OCRv4/ch_PP-OCRv4_det_infer.onnx",
            "PP-OCRv4/ch_ppocr_mobile_v2.0_cls_infer.onnx",
            "PP-OCRv4/ch_PP-OCRv4_rec_infer.onnx",
        ),
        {"name": "pp-ocr", "task": "image-to-text", "version": "4.0.0", "license": "apache-2.0",
         "languages": ("zh", "en")},
    ),
    Model(
        ("silero-vad/silero_vad_op18_ifless.onnx",),
        {"name": "silero-vad", "task": "voice-activity-detection", "version": "6.2.3",
         "license": "mit"},
    ),
)  # fmt: skip


def main() -> None:
    """Pack and write."""
    PACKED.mkdir(parents=True, exist_ok=True)
    index = BUILTINS
    for model in MODELS:
        if all((FETCHED / file).exists() for file in model.files):
            for entry in _entries(model):
                index = add(index, stating(entry, model.said))
    (PACKED / "index.json").write_text(index.to_json(), encoding="utf-8")


def _entries(model: Model) -> list[Entry]:
    files = [FETCHED / file for file in model.files]
    packed = [_packed(file) for file in files]
    if len(packed) > 1:
        return [entry_of(packed[0][0], composed_of(packed))]
    if model.int8:
        packed += [_read(pack(file, PACKED, "int8")) for file in files]
    return [entry_of(manifest, variant_of(manifest, url)) for manifest, url in packed]


def _packed(file: Path) -> tuple[Manifest, str]:
    served = PACKED / file.name  # what is served is there already
    return _read(pack(served if served.exists() else file, PACKED))


def _read(path: Path) -> tuple[Manifest, str]:
    return Manifest.from_json(path.read_text(encoding="utf-8")), path.name


if __name__ == "__main__":
    main()
