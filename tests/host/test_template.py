"""Chat templates, held to what transformers rendered (the oracle), and hostile ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgewise.errors import FormatError, InputError
from edgewise.formats import gguf
from edgewise.formats.tokenizer import chat
from edgewise.host.template import render

ORACLE = json.loads((Path(__file__).parents[1] / "data" / "smollm2_oracle.json").read_text())
USER = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize("name", ORACLE["prompts"])
def test_the_models_template_gives_what_transformers_gives(name: str, model_path: Path) -> None:
    with model_path.open("rb") as file:
        header = gguf.parse(file.read(4 << 20), file_nbytes=model_path.stat().st_size)
    format, asked = chat(header.metadata), ORACLE["prompts"][name]
    messages = [{"role": "user", "content": asked["question"]}]
    assert format.template is not None
    text = render(format.template, messages, bos=format.bos or "", eos=format.eos or "")
    assert text == asked["rendered"]


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{% if true %}\n  a\n{% endif %}\n", "  a\n"),  # trim_blocks, lstrip_blocks
        ("{{ messages[0]['content'] | tojson }}", '"hi"'),
        ("{{ '<é>' | tojson }}", '"<é>"'),  # Jinja's own would escape
        ("{% for m in messages %}{% break %}{% endfor %}x", "x"),
        ("{% generation %}{{ messages[0].role }}{% endgeneration %}", "user"),
        ("{{ bos_token }}{{ eos_token }}{{ add_generation_prompt }}", "<s></s>True"),
        ("{{ strftime_now('%Y') | length }}", "4"),
    ],
)
def test_what_templates_may_use(template: str, text: str) -> None:
    assert render(template, USER, bos="<s>", eos="</s>") == text


def test_a_template_that_refuses_says_why() -> None:
    with pytest.raises(InputError, match="roles must alternate"):
        render("{{ raise_exception('roles must alternate') }}", USER, bos="", eos="")


def test_a_template_that_does_not_parse_names_the_line() -> None:
    with pytest.raises(FormatError) as caught:
        render("\n{% if %}", USER, bos="", eos="")
    assert caught.value.where == "line 2"


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ cycler.__init__.__globals__ }}",
    ],
)
def test_a_template_cannot_leave_its_sandbox(template: str) -> None:
    with pytest.raises(InputError):
        render(template, USER, bos="", eos="")
