"""What all-MiniLM-L6-v2 makes of texts, by transformers and sentence-transformers in float32.

Writes `tests/data/minilm_oracle.json` and `.npz`, which the tests compare against. It needs its
own environment, since torch and transformers are never dependencies of Edgewise:

    python3 -m venv build/oracle
    build/oracle/bin/pip install torch==2.13.0 transformers==5.23.0 sentence-transformers==6.2.0
    build/oracle/bin/python tests/oracles/minilm.py [folder]

The json has the texts and their token ids, cut at the model's 256 tokens. In the npz,
`embeddings` [texts, 384] are sentence-transformers' own; `hidden_N` [tokens, 384] is the last
hidden state of text N; `tiny_NAME_hidden` and `tiny_NAME_embedding` are those of the tiny models
of tests/importers/tiny_bert.py.
"""

# mypy: ignore-errors
# torch and transformers are not in the environment that is checked.

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
import tempfile
from pathlib import Path

import numpy as np
import sentence_transformers
import torch
import transformers
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoTokenizer

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.importers.tiny_bert import VARIANTS, batch  # noqa: E402

MODEL = ROOT / ".cache/models/all-MiniLM-L6-v2"
OUT = ROOT / "tests/data/minilm_oracle"
HIDDEN = (0, 5)  # texts whose hidden states are kept

# Jane Austen, Pride and Prejudice (1813), chapter 1; public domain.
LONG = (
    "It is a truth universally acknowledged, that a single man in possession of a good fortune, "
    "must be in want of a wife. However little known the feelings or views of such a man may be "
    "on his first entering a neighbourhood, this truth is so well fixed in the minds of the "
    "surrounding families, that he is considered the rightful property of some one or other of "
    "their daughters. "
)
TEXTS = [
    "This is an example sentence",
    "Each sentence is converted",
    "A man is eating food.",
    "The girl is carrying a baby in her arms while the dog runs behind them across the field.",
    "Le ciel est bleu et la mer est calme.",
    "Der schnelle braune Fuchs springt über den faulen Hund.",
    "El aprendizaje automático funciona en el navegador.",
    "日本語のテキストも埋め込めます。",
    "今天天气很好，我们去公园吧。",  # noqa: RUF001
    "Привет, мир! Как дела?",
    "مرحبا بالعالم",
    "Naïve café: 12,345.678 — 50% off!",
    "👩‍👩‍👧‍👦 emoji and [SEP] tokens in text",
    "",
    "def f(x):\n    return x ** 2  # code",
    LONG * 5,
]


def main() -> None:
    """Load, run and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=MODEL)
    folder = parser.parse_args().folder
    torch.set_grad_enabled(False)
    texts = SentenceTransformer(str(folder), device="cpu")
    together = texts.encode(TEXTS, batch_size=len(TEXTS))
    alone = np.concatenate([texts.encode([text]) for text in TEXTS])
    assert np.abs(together - alone).max() < 1e-6
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = [tokenizer(text, truncation=True, max_length=256)["input_ids"] for text in TEXTS]
    model = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    arrays = {"embeddings": together}
    for index in HIDDEN:
        hidden = model(input_ids=torch.tensor([ids[index]])).last_hidden_state[0].numpy()
        arrays[f"hidden_{index}"] = hidden
        pooled = hidden.mean(0)
        assert np.abs(pooled / np.linalg.norm(pooled) - together[index]).max() < 1e-6
    for name in VARIANTS:
        arrays |= tiny(name)
    result = {
        "model": folder.name,
        "sha256": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "sentence-transformers": sentence_transformers.__version__,
            "numpy": np.__version__,
        },
        "texts": TEXTS,
        "ids": ids,
    }
    OUT.with_suffix(".json").write_text(
        json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )
    np.savez_compressed(OUT.with_suffix(".npz"), **arrays)


def tiny(name: str) -> dict[str, np.ndarray]:
    """A tiny model's results, its pooling by sentence-transformers' own modules."""
    variant = VARIANTS[name]
    given = {key: torch.tensor(array).long() for key, array in batch(variant).items()}
    with tempfile.TemporaryDirectory() as scratch:
        folder = variant.write(Path(scratch))
        model = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
        stages = SentenceTransformer(str(folder), device="cpu")
        hidden = model(**given).last_hidden_state
        state = {"token_embeddings": hidden, "attention_mask": given["attention_mask"]}
        for stage in list(stages)[1:]:
            state = stage(state)
    return {
        f"tiny_{name}_hidden": hidden.numpy(),
        f"tiny_{name}_embedding": state["sentence_embedding"].numpy(),
    }


if __name__ == "__main__":
    main()
