"""Tiny BERT encoders of random weights, as Hugging Face folders. Used by tests and their oracle."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class TinyBert:
    """Sizes of a model, and what varies between models."""

    vocab: int = 29
    hidden: int = 12
    layers: int = 2
    heads: int = 3
    ffn: int = 20
    positions: int = 16
    types: int = 2
    activation: str = "gelu"
    pooling: str = "mean_tokens"
    normalize: bool = True
    prefix: str = ""
    seed: int = 1

    def config(self) -> dict[str, Any]:
        """config.json."""
        return {
            "architectures": ["BertModel"], "model_type": "bert", "vocab_size": self.vocab,
            "hidden_size": self.hidden, "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads, "intermediate_size": self.ffn,
            "max_position_embeddings": self.positions, "type_vocab_size": self.types,
            "hidden_act": self.activation, "layer_norm_eps": 1e-12, "pad_token_id": 0,
        }  # fmt: skip

    def documents(self) -> dict[str, Any]:
        """All JSON documents by path, as sentence-transformers saves them."""
        kinds = ["Transformer", "Pooling"] + ["Normalize"] * self.normalize
        folders = ["", "1_Pooling", "2_Normalize"]
        modes = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")
        return {
            "config.json": self.config(),
            "sentence_bert_config.json": {"max_seq_length": 10, "do_lower_case": False},
            "modules.json": [
                {"idx": index, "name": str(index), "path": folder,
                 "type": f"sentence_transformers.models.{kind}"}
                for index, (kind, folder) in enumerate(zip(kinds, folders, strict=False))
            ],
            "1_Pooling/config.json": {
                "word_embedding_dimension": self.hidden,
                **{f"pooling_mode_{mode}": mode == self.pooling for mode in modes},
            },
        }  # fmt: skip

    def weights(self) -> dict[str, Array]:
        """All tensors; the same for the same sizes and seed."""
        rng = np.random.default_rng(self.seed)
        found: dict[str, Array] = {}

        def make(name: str, *shape: int, around: float = 0.0) -> None:
            values = around + 0.3 * rng.standard_normal(shape)
            found[self.prefix + name] = values.astype(np.float32)

        def dense(name: str, n: int, k: int) -> None:
            make(f"{name}.weight", n, k)
            make(f"{name}.bias", n)

        def norm(name: str) -> None:
            make(f"{name}.weight", self.hidden, around=1.0)
            make(f"{name}.bias", self.hidden)

        make("embeddings.word_embeddings.weight", self.vocab, self.hidden)
        make("embeddings.position_embeddings.weight", self.positions, self.hidden)
        make("embeddings.token_type_embeddings.weight", self.types, self.hidden)
        norm("embeddings.LayerNorm")
        for index in range(self.layers):
            layer = f"encoder.layer.{index}"
            for name in ("query", "key", "value"):
                dense(f"{layer}.attention.self.{name}", self.hidden, self.hidden)
            dense(f"{layer}.attention.output.dense", self.hidden, self.hidden)
            norm(f"{layer}.attention.output.LayerNorm")
            dense(f"{layer}.intermediate.dense", self.ffn, self.hidden)
            dense(f"{layer}.output.dense", self.hidden, self.ffn)
            norm(f"{layer}.output.LayerNorm")
        dense("pooler.dense", self.hidden, self.hidden)
        return found

    def tokenizer(self) -> dict[str, Any]:
        """A WordPiece tokenizer.json of the vocabulary's size, with BERT's special tokens."""
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
        words = ["a", "b", "c", "the", "cat", "dog", "##s", "##ing", "sat", "run", ".", ",", "!"]
        words += [f"w{index}" for index in range(self.vocab - len(special) - len(words))]
        vocab = {word: id for id, word in enumerate(special + words)}
        frame = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                 {"Sequence": {"id": "A", "type_id": 0}},
                 {"SpecialToken": {"id": "[SEP]", "type_id": 0}}]  # fmt: skip
        second = [{"Sequence": {"id": "B", "type_id": 1}},
                  {"SpecialToken": {"id": "[SEP]", "type_id": 1}}]  # fmt: skip
        return {
            "version": "1.0",
            "truncation": {"max_length": 8, "strategy": "LongestFirst", "stride": 0},
            "padding": {"strategy": {"Fixed": 8}, "direction": "Right", "pad_id": 0,
                        "pad_to_multiple_of": None, "pad_type_id": 0, "pad_token": "[PAD]"},
            "added_tokens": [
                {"id": vocab[word], "content": word, "special": True, "single_word": False,
                 "lstrip": False, "rstrip": False, "normalized": False}
                for word in special
            ],
            "normalizer": {"type": "BertNormalizer", "clean_text": True, "lowercase": True,
                           "handle_chinese_chars": True, "strip_accents": None},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {
                "type": "TemplateProcessing", "single": frame, "pair": frame + second,
                "special_tokens": {
                    word: {"id": word, "ids": [vocab[word]], "tokens": [word]}
                    for word in ("[CLS]", "[SEP]")
                },
            },
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "max_input_chars_per_word": 100,
                      "continuing_subword_prefix": "##", "vocab": vocab},
        }  # fmt: skip

    def write(self, folder: Path, dtype: str = "float32") -> Path:
        """The folder, its weights in `dtype`."""
        from safetensors.numpy import save_file

        for name, document in {**self.documents(), "tokenizer.json": self.tokenizer()}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(json.dumps(document))
        (folder / "README.md").write_text("---\ntags:\n- x\nlicense: mit\n---\n# Tiny\n")
        arrays = {name: array.astype(dtype) for name, array in self.weights().items()}
        save_file(arrays, folder / "model.safetensors")
        return folder


TINY = TinyBert()
#: What tests/oracles/minilm.py has transformers compute, by name.
VARIANTS = {
    "mean": TINY,
    "cls": replace(TINY, pooling="cls_token", seed=2),
    "max": replace(TINY, pooling="max_tokens", normalize=False, activation="relu", seed=3),
    "sqrt": replace(TINY, pooling="mean_sqrt_len_tokens", prefix="bert.", types=1, seed=4),
}


def batch(model: TinyBert, lengths: tuple[int, ...] = (7, 1, 4)) -> dict[str, Array]:
    """Inputs of a graph: random tokens of these lengths, padded."""
    rng = np.random.default_rng(model.seed + 100)
    shape = (len(lengths), max(lengths))
    mask = (np.arange(shape[1]) < np.array(lengths)[:, None]).astype(np.int32)
    return {
        "input_ids": (rng.integers(1, model.vocab, shape) * mask).astype(np.int32),
        "attention_mask": mask,
        "token_type_ids": (rng.integers(0, model.types, shape) * mask).astype(np.int32),
    }
