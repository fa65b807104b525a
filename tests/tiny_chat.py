"""A tiny random model that chats: a packed GGUF with a byte-level vocabulary and a template.

Its answers are noise, but they are computed by the real stack, and `Tiny.logits` computes them
once more, in float64 and sharing no code, so tests know which tokens must come.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np

from edgewise.host.base import Device, Target
from edgewise.host.cpython import CPythonHost, CPythonTokenizer
from edgewise.host.reference import ReferenceDevice
from edgewise.host.template import render
from edgewise.store.pack import pack
from tests.importers.tiny import Array, Tiny

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)
START, END = "<|im_start|>", "<|im_end|>"
CONTEXT = 512


def byte_tokens() -> list[str]:
    """One printable character for each byte, as GPT-2 writes them."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    names = {byte: chr(byte) for byte in printable}
    names |= {byte: chr(256 + index) for index, byte in enumerate(rest)}
    return [names[byte] for byte in range(256)]


@dataclass(frozen=True)
class TinyChat:
    """The model's files, and its weights for the oracle."""

    manifest: Path
    tokenizer: CPythonTokenizer
    model: Tiny
    weights: dict[str, Array]

    @property
    def name(self) -> str:
        return self.manifest.name.removesuffix(".manifest.json")

    def prompt(self, *messages: dict[str, str]) -> list[int]:
        return self.tokenizer.encode(render(TEMPLATE, messages, bos=START, eos=END))

    def greedy(self, prompt: list[int], n: int) -> list[int]:
        """The `n` tokens that must follow, or fewer up to a stop."""
        tokens = list(prompt)
        for _ in range(n):
            tokens.append(int(np.argmax(self.model.logits(self.weights, tokens)[-1])))
            if tokens[-1] == self.stop_id:
                break
        return tokens[len(prompt) :]

    @property
    def stop_id(self) -> int:
        return 257


def make(folder: Path, seed: int = 5, matrices: str | None = None, *, split: int = 0) -> TinyChat:
    """Write and pack the model under `folder`.

    matrices  their one type; split: how many tensors a part has, where the file is to have parts.
    """
    tokens = [*byte_tokens(), START, END, "hi", "th"]
    types = [gguf.TokenType.NORMAL] * 256 + [gguf.TokenType.CONTROL] * 2
    types += [gguf.TokenType.NORMAL] * 2

    def tokenizer(writer: gguf.GGUFWriter) -> None:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_list(tokens)
        writer.add_token_types(types)
        writer.add_token_merges(["h i", "t h"])
        writer.add_bos_token_id(256)
        writer.add_eos_token_id(257)
        writer.add_chat_template(TEMPLATE)

    folder.mkdir(parents=True, exist_ok=True)
    model = Tiny(matrices, vocab=len(tokens), context=CONTEXT)
    weights = model.write(folder / "tiny.gguf", seed, more=tokenizer, split=split)
    pack(min(folder.glob("tiny*.gguf")), folder)
    (manifest,) = folder.glob("*.manifest.json")
    (text,) = folder.glob("*.tokenizer.json")
    return TinyChat(manifest, CPythonTokenizer(text.read_text()), model, weights)


class ReferenceHost(CPythonHost):
    """A machine without a GPU."""

    async def open_device(self, target: Target | None = None) -> Device:
        """Always the reference."""
        return ReferenceDevice(self._object)
