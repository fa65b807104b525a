"""What SmolLM2-135M-Instruct answers, by Hugging Face transformers in float32.

Writes `tests/data/smollm2_oracle.json` and `.npz`, which the tests compare against. It needs its
own environment, since torch and transformers are never dependencies of Edgewise:

    python3 -m venv build/oracle
    build/oracle/bin/pip install torch==2.13.0 transformers==5.23.0 gguf==0.19.0 jinja2 accelerate
    build/oracle/bin/python tests/oracles/smollm2.py [model.gguf]

The GGUF's weights are dequantised to float32 by the `gguf` package; the model is transformers'
LlamaForCausalLM with eager attention. Logits are kept at every 8th vocabulary entry and at the 64
largest of each case, so that the files stay small. In the npz, `prefill_N_logits` and
`decode_N_logits` (float32) stand at the vocabulary entries `…_indices` (int32).
"""

# mypy: ignore-errors
# torch and transformers are not in the environment that is checked.

from __future__ import annotations

import argparse
import hashlib
import json
import platform
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers
from tokenizers import pre_tokenizers
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerBase

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / ".cache/models/SmolLM2-135M-Instruct.Q4_1.gguf"
OUT = ROOT / "tests/data/smollm2_oracle"

N_NEW = 32
N_DECODE = 64
STRIDE = 8
N_TOP = 64
LENGTHS = (1, 7, 64, 300)

# Chosen so that 32 tokens come without a stop and no two best logits are closer than 0.05: a device
# that computes in float16 is then held to the same tokens.
QUESTIONS = {
    "factual": "Why is the sky blue?",
    "code": "Write a Python function `is_even(n)`.",
    "unicode": "What is the meaning of the Japanese word “ありがとう”?",
    "list": "List three benefits of exercise.",
    "sentences": "My sister is visiting on Sunday. She loves pasta, but not cheese. "
    "What could I cook for her?",
}

# Jane Austen, Pride and Prejudice (1813), chapter 1; public domain.
TEXT = """It is a truth universally acknowledged, that a single man in possession of a good \
fortune, must be in want of a wife.

However little known the feelings or views of such a man may be on his first entering a \
neighbourhood, this truth is so well fixed in the minds of the surrounding families, that he is \
considered the rightful property of some one or other of their daughters.

"My dear Mr. Bennet," said his lady to him one day, "have you heard that Netherfield Park is let \
at last?"

Mr. Bennet replied that he had not.

"But it is," returned she; "for Mrs. Long has just been here, and she told me all about it."

Mr. Bennet made no answer.

"Do you not want to know who has taken it?" cried his wife impatiently.

"You want to tell me, and I have no objection to hearing it."

This was invitation enough.

"Why, my dear, you must know, Mrs. Long says that Netherfield is taken by a young man of large \
fortune from the north of England; that he came down on Monday in a chaise and four to see the \
place, and was so much delighted with it, that he agreed with Mr. Morris immediately; that he is \
to take possession before Michaelmas, and some of his servants are to be in the house by the end \
of next week."

"What is his name?"

"Bingley."
"""


@dataclass(frozen=True)
class Run:
    """A greedy run: `tokens[i]` is the argmax of `logits[i]` [V], the first from the prefill."""

    tokens: list[int]
    logits: torch.Tensor

    def top2(self) -> tuple[list[list[int]], list[float]]:
        """Ids of the two largest logits of each position, and how far apart they are."""
        best = torch.topk(self.logits, 2, dim=-1)
        margins = (best.values[:, 0] - best.values[:, 1]).tolist()
        return best.indices.tolist(), [round(margin, 6) for margin in margins]


def load(path: Path) -> tuple[LlamaForCausalLM, PreTrainedTokenizerBase]:
    """The model in float32 with the hyperparameters of the file, and its tokenizer."""
    where = {"pretrained_model_name_or_path": path.parent, "gguf_file": path.name}
    model = LlamaForCausalLM.from_pretrained(
        **where, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    config = model.config
    # transformers has had wrong defaults for these when it reads a GGUF.
    assert abs(config.rms_norm_eps - 1e-5) < 1e-11, config.rms_norm_eps
    assert config.rope_parameters["rope_theta"] == 100000.0, config.rope_parameters
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    tokenizer = AutoTokenizer.from_pretrained(**where)
    # The file says `tokenizer.ggml.pre = smollm` (digits stand alone), which transformers ignores.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    return model, tokenizer


def greedy(model: LlamaForCausalLM, prompt: list[int], n: int, stop: int | None) -> Run:
    """`n` greedy tokens, fewer if `stop` comes (it is then the last), through the KV cache."""
    step = model(torch.tensor([prompt]), use_cache=True, logits_to_keep=1)
    tokens: list[int] = []
    rows: list[torch.Tensor] = []
    while True:
        rows.append(step.logits[0, -1])
        tokens.append(int(rows[-1].argmax()))
        if len(tokens) == n or tokens[-1] == stop:
            return Run(tokens, torch.stack(rows))
        last = torch.tensor([tokens[-1:]])
        step = model(last, past_key_values=step.past_key_values, use_cache=True)


def uncached_difference(model: LlamaForCausalLM, prompt: list[int], run: Run) -> float:
    """Largest relative difference of a position's logits when all is computed in one go."""
    everything = torch.tensor([prompt + run.tokens[:-1]])
    at_once = model(everything, use_cache=False).logits[0, len(prompt) - 1 :]
    difference = (at_once - run.logits).norm(dim=-1) / run.logits.norm(dim=-1)
    worst = float(difference.max())
    assert worst < 1e-5, worst
    return worst


def keep(logits: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The vocabulary entries that are kept of `logits` [V], sorted, and their values."""
    indices = set(range(0, logits.numel(), STRIDE)) | set(
        torch.topk(logits, N_TOP).indices.tolist()
    )
    chosen = np.array(sorted(indices), np.int32)
    return chosen, logits.numpy()[chosen]


def answer(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, question: str) -> dict:
    """One question's token ids, greedy answer and margins."""
    messages = [{"role": "user", "content": question}]
    rendered = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    prompt = tokenizer(rendered, add_special_tokens=False)["input_ids"]
    run = greedy(model, prompt, N_NEW, tokenizer.eos_token_id)
    generated = model.generate(
        torch.tensor([prompt]), do_sample=False, max_new_tokens=N_NEW, repetition_penalty=1.0
    )
    assert generated[0, len(prompt) :].tolist() == run.tokens
    top2, margins = run.top2()
    return {
        "question": question,
        "rendered": rendered,
        "prompt": prompt,
        "tokens": run.tokens,
        "stopped": run.tokens[-1] == tokenizer.eos_token_id,
        "text": tokenizer.decode(run.tokens, skip_special_tokens=True),
        "top2": top2,
        "margins": margins,
        "uncached_difference": uncached_difference(model, prompt, run),
    }


def logits_case(model: LlamaForCausalLM, prompt: list[int], arrays: dict[str, np.ndarray]) -> dict:
    """Logits after a prompt and after `N_DECODE` of its own greedy tokens were fed one by one."""
    run = greedy(model, prompt, N_DECODE + 1, stop=None)
    n = len(prompt)
    for stage, row in (("prefill", run.logits[0]), ("decode", run.logits[-1])):
        arrays[f"{stage}_{n}_indices"], arrays[f"{stage}_{n}_logits"] = keep(row)
    top2, margins = run.top2()
    return {
        "length": n,
        "prompt": prompt,
        "tokens": run.tokens[:N_DECODE],
        "top2": top2,
        "margins": margins,
        "uncached_difference": uncached_difference(model, prompt, run),
    }


def main() -> None:
    """Load, run and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", type=Path, default=MODEL)
    path = parser.parse_args().model
    torch.set_grad_enabled(False)
    model, tokenizer = load(path)
    text = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    assert len(text) >= max(LENGTHS), len(text)
    arrays: dict[str, np.ndarray] = {}
    result = {
        "model": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "gguf": gguf_version(),
            "numpy": np.__version__,
        },
        "prompts": {
            name: answer(model, tokenizer, question) for name, question in QUESTIONS.items()
        },
        "logits": [logits_case(model, text[:n], arrays) for n in LENGTHS],
    }
    OUT.with_suffix(".json").write_text(
        json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )
    np.savez_compressed(OUT.with_suffix(".npz"), **arrays)


def gguf_version() -> str:
    """The version of the package that dequantises."""
    from importlib.metadata import version

    return version(gguf.__name__)


if __name__ == "__main__":
    main()
