"""Chat templates as transformers renders them: a sandboxed Jinja with its few extras.

A template comes with a model from anywhere, so it runs in `ImmutableSandboxedEnvironment`.
CPython only; the page has @huggingface/jinja.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache

from jinja2 import Template, TemplateError, nodes
from jinja2.exceptions import TemplateSyntaxError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ..errors import FormatError, InputError


class _Generation(Extension):
    """`{% generation %}…{% endgeneration %}` marks answers for training; here it is its body."""

    tags = frozenset({"generation"})  # type: ignore[assignment]  # jinja2 says set

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _tojson(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # Jinja's own filter escapes HTML characters, which a prompt must keep.
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


@lru_cache(maxsize=8)
def _compile(template: str) -> Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    strftime_now: Callable[[str], str] = lambda form: datetime.now().strftime(form)  # noqa: E731
    environment.globals["strftime_now"] = strftime_now
    return environment.from_string(template)


def render(template: str, messages: Sequence[Mapping[str, str]], *, bos: str, eos: str) -> str:
    """The prompt for `messages`, ending where the answer begins.

    Raises FormatError for a template that does not parse, InputError for messages that it
    refuses (`raise_exception`) or cannot handle.
    Source: transformers `utils/chat_template_utils.py`.
    """
    try:
        return _compile(template).render(
            messages=[dict(message) for message in messages],
            bos_token=bos,
            eos_token=eos,
            add_generation_prompt=True,
        )
    except TemplateSyntaxError as error:
        raise FormatError(
            "the chat template does not parse", got=error.message, where=f"line {error.lineno}"
        ) from None
    except (TemplateError, TypeError) as error:
        raise InputError(
            "the chat template refuses the messages",
            got=str(error),
            fix="check the roles and their order",
        ) from None
