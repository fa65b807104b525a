"""PEFT's adapter_config.json: which LoRA an adapter's tensors are, and what Edgewise lacks of it.

Source: huggingface/peft, src/peft/tuners/lora/config.py and layer.py `update_layer`. Must not
import NumPy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import TypeVar

from ..errors import FormatError, UnsupportedError

Number = TypeVar("Number", int, float)
DOCUMENT = "adapter_config.json"
#: Members that change what an adapter computes, unless they are null, false or empty.
CHANGING = (
    "use_dora", "lora_bias", "modules_to_save", "layer_replication", "target_parameters",
    "trainable_token_indices", "use_qalora", "alora_invocation_tokens", "use_bdlora",
    "megatron_config", "arrow_config",
)  # fmt: skip
#: Ways to begin a training that leave the base as it was; the others change the base's weights.
HARMLESS = (None, True, False, "gaussian", "eva", "orthogonal")
_PLAIN = re.compile(r"\^?[\w.]+\$?", re.ASCII)
_LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class Lora:
    """What an adapter_config.json says.

    rank, alpha    of modules that no pattern names
    ranks, alphas  by the end of a module's name
    root           whether the rank counts by its root (rank-stabilised LoRA)
    base           what the adapter was trained on, in its author's words
    """

    rank: int
    alpha: float
    ranks: Mapping[str, int]
    alphas: Mapping[str, float]
    root: bool
    base: str | None

    def rank_of(self, module: str) -> int:
        """How many rows its lora_A has."""
        return _matching(self.ranks, module, self.rank)

    def scale_of(self, module: str) -> float:
        """What its product is multiplied with."""
        rank = self.rank_of(module)
        return _matching(self.alphas, module, self.alpha) / (sqrt(rank) if self.root else rank)


def parse(text: str) -> Lora:
    """Read an adapter_config.json.

    `fan_in_fan_out` says how the base stores its matrices: A and B do not depend on it.

    Raises FormatError for what is none, UnsupportedError with all that would change the result
    and is not done.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError("not JSON", got=str(error), where=DOCUMENT) from None
    if not isinstance(data, dict):
        raise _wrong("", data, "an object")
    _check_supported(data)
    for name in ("use_rslora", "fan_in_fan_out"):
        if not isinstance(data.get(name) or False, bool):
            raise _wrong(name, data[name], "true or false")
    base = data.get("base_model_name_or_path")
    return Lora(
        rank=_rank("r", data.get("r")),
        alpha=_alpha("lora_alpha", data.get("lora_alpha")),
        ranks={key: _rank("rank_pattern", each) for key, each in _pattern(data, "rank_pattern")},
        alphas={
            key: _alpha("alpha_pattern", each) for key, each in _pattern(data, "alpha_pattern")
        },
        root=bool(data.get("use_rslora")),
        base=base if isinstance(base, str) and base else None,
    )


def _check_supported(data: Mapping[str, object]) -> None:
    kind = data.get("peft_type")
    found = [] if kind == "LORA" else [f"peft_type = {kind!r:.40}"]
    if data.get("bias") not in (None, "none"):
        found.append(f"bias = {data['bias']!r:.40}")
    start = data.get("init_lora_weights")
    if not any(start is each or start == each for each in HARMLESS):
        found.append(f"init_lora_weights = {start!r:.40}, which changes the base")
    found += [f"{name} = {data[name]!r:.40}" for name in CHANGING if data.get(name)]
    if found:
        raise UnsupportedError("an adapter", got=", ".join(found),
                               need="plain LoRA: matrices A and B alone", where=DOCUMENT,
                               fix="merge it into its base and pack that")  # fmt: skip


def _pattern(data: Mapping[str, object], name: str) -> list[tuple[str, object]]:
    """A pattern's entries by the end of a module's name. Regular expressions are not run."""
    found = data.get(name) or {}
    if not isinstance(found, dict):
        raise _wrong(name, found, "an object")
    unlike = [key for key in found if not _PLAIN.fullmatch(key)]
    if unlike:
        raise UnsupportedError(f"{name} of an adapter", got=", ".join(map(repr, unlike))[:80],
                               need="names of modules, no expressions", where=DOCUMENT)  # fmt: skip
    return [(key.strip("^$"), value) for key, value in found.items()]


def _matching(values: Mapping[str, Number], module: str, otherwise: Number) -> Number:
    """The first whose key is the module's name or its end."""
    fits = (value for key, value in values.items() if f".{module}".endswith(f".{key}"))
    return next(fits, otherwise)


def _rank(name: str, value: object) -> int:
    if type(value) is not int or not 0 < value <= _LARGEST:
        raise _wrong(name, value, f"a whole number from 1 to {_LARGEST}")
    return value


def _alpha(name: str, value: object) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not isfinite(value) or abs(value) > _LARGEST:  # type: ignore[arg-type]
        raise _wrong(name, value, f"a number up to {_LARGEST}")
    return float(value)  # type: ignore[arg-type]


def _wrong(name: str, value: object, need: str) -> FormatError:
    what = f"{DOCUMENT} {name}".strip()
    return FormatError(what, got=f"{value!r:.40}", need=need, where=DOCUMENT)
