"""The prompts of all engines: text of exactly 32, 128 and 512 tokens, and its ids.

.venv/bin/python bench/gpu/prompts.py MODEL.tokenizer.json OUT.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tokenizers import Tokenizer

TEXT = Path(__file__).resolve().parents[2] / "LICENSE"
LENGTHS = (32, 128, 512)


def prompts(tokenizer: Tokenizer) -> dict[str, dict[str, object]]:
    """Beginnings of a text that are as long as asked for, also when they are encoded again."""
    ids = tokenizer.encode(" ".join(TEXT.read_text().split())).ids
    found: dict[str, dict[str, object]] = {}
    for length in LENGTHS:
        for start in range(100):
            text = tokenizer.decode(ids[start : start + length])
            again = tokenizer.encode(text).ids
            if len(again) == length:
                found[str(length)] = {"text": text, "ids": again}
                break
    assert len(found) == len(LENGTHS)
    return found


if __name__ == "__main__":
    source, out = map(Path, sys.argv[1:])
    out.write_text(json.dumps(prompts(Tokenizer.from_file(str(source)))))
