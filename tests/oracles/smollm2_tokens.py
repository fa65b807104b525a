"""What llama.cpp makes of strings with SmolLM2's vocabulary, under each pre-tokenizer.

Writes `tests/formats/data/smollm2_tokens.json`. llama.cpp is the oracle because it defines what
`tokenizer.ggml.pre` means; transformers 5.23 does not know "smollm" and joins digits to the space
before them. It comes built, as an npm package, which is never a dependency of Edgewise:

    npm install --prefix build/oracle-node node-llama-cpp@3.22.1
    .venv/bin/python tests/oracles/smollm2_tokens.py

For "qwen2" the strings are normalised (NFC) first: Qwen's own tokenizer.json does so, llama.cpp
leaves it to the caller.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import unicodedata
from pathlib import Path

import gguf

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / ".cache/models/SmolLM2-135M-Instruct.Q4_1.gguf"
NODE = ROOT / "build/oracle-node"
OUT = ROOT / "tests/formats/data/smollm2_tokens.json"

PRE = ["smollm", "gpt-2", "default", "llama-bpe", "qwen2"]
TEXTS = [
    "", " ", "  ", "\n", "\t\t", " \n \n", "a", " a", "a ",
    "Hello, world!", "The quick brown fox jumps over the lazy dog.",
    "don't I'll WE'RE they've it's I'm he'd", "don’t", "'s'S",
    "0", "7 8", "123", "1234567890", " 42", "  42", "3.14159", "2024-11-22T02:06:05Z", "v1.2.3-rc4",
    "10,000,000 €", "²³ ½ Ⅷ ٣٤ १२", "a1b2c3", "x  1", "1  x",
    "one  two   three    four", "trailing   ", "   leading",
    "line\nbreak\r\nwindows\r\n\r\n", "\n\n\n",
    "tab\tseparated\tvalues", "a\u00a0b\u2003c\u3000d",
    "def f(x):\n    return x**2  # square\n\n\nclass A:\n\tpass\n",
    "for (let i = 0; i < n; i++) { s += `${a[i]}`; }", '<div class="x">&amp;</div>',
    "a==b!=c<=d>=e",
    "https://example.org/a?b=c&d=%20#e", "~/.config $HOME ^caret |pipe| `tick`", "...!!!???---___",
    "naïve café Ärger straße", "e\u0301 cafe\u0301", "Ελληνικά русский עברית العربية",
    "日本語のテキスト 中文 한국어", "नमस्ते สวัสดี", "ﬁ ﬀ ŉ ǆ",
    "🎉 👩‍👩‍👧‍👦 🇩🇪 👍🏽", "z\u200bw\u200dj", "\U0001d518\U0001d52b 𐍈 \U0001d7d9\U0001d7da",
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", "<|im_end|><|im_end|>",
    "text<|endoftext|>more", " <|im_end|> ", "<|im_end", "<|IM_END|>", "<repo_name>x<file_sep>",
    "antidisestablishmentarianism", "AAAAaaaaAAAA", "CamelCaseHTTPServer",
]  # fmt: skip


def vocabulary_file(path: Path, reader: gguf.GGUFReader, pre: str) -> None:
    """A GGUF with the model's tokenizer alone, under another pre-tokenizer."""
    writer = gguf.GGUFWriter(path, "llama")
    for key, field in reader.fields.items():
        kind = field.types[0]
        if key == "tokenizer.ggml.pre":
            writer.add_string(key, pre)
        elif key.startswith(("tokenizer.", "llama.")):
            sub = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(key, field.contents(), kind, sub)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def main() -> None:
    """Make the files, ask llama.cpp, write the fixture."""
    reader = gguf.GGUFReader(MODEL)
    shutil.copy(Path(__file__).with_suffix(".mjs"), NODE)
    with tempfile.TemporaryDirectory() as folder:
        files = {pre: Path(folder) / f"{pre}.gguf" for pre in PRE}
        for pre, path in files.items():
            vocabulary_file(path, reader, pre)
        normal = [unicodedata.normalize("NFC", text) for text in TEXTS]
        asked = {
            "files": {pre: str(path) for pre, path in files.items()},
            "texts": {pre: normal if pre == "qwen2" else TEXTS for pre in PRE},
        }
        answer = subprocess.run(
            ["node", "smollm2_tokens.mjs"], cwd=NODE, input=json.dumps(asked), text=True,
            stdout=subprocess.PIPE, check=True,
        )  # fmt: skip
    ids = json.loads(answer.stdout)
    package = json.loads((NODE / "node_modules/node-llama-cpp/package.json").read_text())
    rows = [
        json.dumps({"text": text, "ids": {pre: ids[pre][i] for pre in PRE}}, ensure_ascii=False)
        for i, text in enumerate(TEXTS)
    ]
    oracle = f"llama.cpp of node-llama-cpp {package['version']}"
    OUT.write_text(
        f'{{"oracle": {json.dumps(oracle)},\n "cases": [\n  ' + ",\n  ".join(rows) + "\n]}\n"
    )


if __name__ == "__main__":
    main()
