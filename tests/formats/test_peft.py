"""adapter_config.json: ranks and scales by PEFT's rules, and every refusal by name."""

from __future__ import annotations

import json
from math import sqrt
from pathlib import Path
from typing import Any

import pytest

from edgewise.errors import EdgewiseError, FormatError, UnsupportedError
from edgewise.formats.peft import parse

PLAIN: dict[str, Any] = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "bias": "none"}
SAVED = Path(__file__).resolve().parents[1] / "data" / "adapters"
K = "model.layers.20.self_attn.k_proj"


def text(**more: Any) -> str:
    return json.dumps(PLAIN | more)


def test_what_peft_saved() -> None:
    lora = parse((SAVED / "qv" / "adapter_config.json").read_text())
    assert (lora.rank_of(K), lora.scale_of(K)) == (4, 2.0)
    assert lora.base == "HuggingFaceTB/SmolLM2-135M-Instruct"
    lora = parse((SAVED / "all" / "adapter_config.json").read_text())
    assert lora.scale_of(K) == 5 / sqrt(2)
    assert lora.scale_of("model.layers.4.self_attn.k_proj") == 3 / sqrt(2)
    down = "model.layers.4.mlp.down_proj"
    assert (lora.rank_of(down), lora.scale_of(down)) == (3, 3 / sqrt(3))


@pytest.mark.parametrize(
    ("key", "matches"),
    [
        ("k_proj", True),
        ("self_attn.k_proj", True),
        ("^model.layers.20.self_attn.k_proj$", True),
        ("proj", False),
        ("layers.2.self_attn.k_proj", False),
    ],
)
def test_a_pattern_is_the_end_of_a_name(key: str, matches: bool) -> None:
    lora = parse(text(rank_pattern={key: 16}, alpha_pattern={key: 1}))
    assert lora.rank_of(K) == (16 if matches else 4)
    assert lora.scale_of(K) == (1 / 16 if matches else 2.0)


def test_how_the_base_stores_its_matrices_makes_no_difference() -> None:
    assert parse(text(fan_in_fan_out=True)) == parse(text())


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"bias": "all"}, "bias = 'all'"),
        ({"lora_bias": True}, "lora_bias"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"peft_type": "IA3"}, "peft_type = 'IA3'"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights = 'pissa', which changes the base"),
        ({"layer_replication": [[0, 2]]}, "layer_replication"),
        ({"rank_pattern": {".*k_proj": 2}}, "no expressions"),
        ({"use_dora": True, "bias": "all"}, "bias = 'all', use_dora"),
    ],
)
def test_what_is_not_done_is_named(more: dict[str, Any], says: str) -> None:
    with pytest.raises(UnsupportedError, match=says):
        parse(text(**more))


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("{", "not JSON"),
        ("[]", "an object"),
        (text(r=0), " r: got 0"),
        (text(r=True), " r: got True"),
        (text(r=2**40), " r: got"),
        (text(lora_alpha="8"), "lora_alpha"),
        (text(lora_alpha=float("nan")), "lora_alpha"),
        (text(rank_pattern={"k_proj": 1.5}), "rank_pattern"),
        (text(alpha_pattern=[1]), "alpha_pattern"),
        (text(use_rslora="yes"), "use_rslora"),
    ],
)
def test_what_is_no_config_says_where(document: str, says: str) -> None:
    with pytest.raises(FormatError, match=says) as caught:
        parse(document)
    error: EdgewiseError = caught.value
    assert error.where == "adapter_config.json"
