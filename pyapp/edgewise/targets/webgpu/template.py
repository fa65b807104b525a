"""WGSL files to kernel text: conditional parts, includes and a prelude of aliases and constants.

A kernel file is plain WGSL. What WGSL cannot parametrise is done line by line:

    #if NAME … #else … #endif      a part that is there when flag NAME is set
    #include quant.wgsl            another file of the same folder

Element types and sizes come as `alias` and `const` lines in front, so every index has names and
every loop has constant bounds. An unknown flag or a missing file is an error that names the line.

Any kernel may call the functions of the LIBRARY by name: its text gets those that it calls.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.resources import files

from ...errors import PlanError

Literal = int | float | bool | str  # a str is WGSL text

LIBRARY = ("math.wgsl", "int64.wgsl")
#: To the brace that ends the first line, or else to the one that is a line.
_FUNCTION = re.compile(r"^fn (\w+)(?:.*\}|(?s:.*?)^\})$", re.MULTILINE)
_CALL = re.compile(r"\b[a-z]\w++(?=\()")


@cache
def source(name: str) -> str:
    """The text of kernels/`name`. Raises PlanError when there is no such file."""
    try:
        return files(__package__).joinpath("kernels", name).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise PlanError("kernel file", got=name, need="a file in targets/webgpu/kernels") from None


def render(
    name: str,
    *,
    head: str = "",
    flags: Mapping[str, bool] | None = None,
    consts: Mapping[str, Literal] | None = None,
    types: Mapping[str, str] | None = None,
    body: str | None = None,
) -> str:
    """kernels/`name`.wgsl, or the generated `body`, with its prelude.

    `types` are WGSL scalar types by alias name, which also get an alias for vec2 and vec4;
    `head` (bindings and functions) may use them and comes before `consts`.
    """
    types = types or {}
    flags = flags or {}
    lines = ["enable f16;"] if "f16" in types.values() else []
    if flags.get("SUBGROUPS"):
        lines.append("enable subgroups;")
    for alias, kind in types.items():
        lines.append(f"alias {alias} = {kind};")
        lines += [f"alias {alias}{n} = vec{n}<{kind}>;" for n in (2, 4)]
    rest = [head] if head else []
    rest += [f"const {key} = {_literal(value)};" for key, value in (consts or {}).items()]
    rest += body.splitlines() if body is not None else _expand(f"{name}.wgsl", flags)
    text = "\n".join([*rest, ""])
    return "\n".join([*lines, *called(text), text])


@cache
def library() -> dict[str, str]:
    """The functions of the LIBRARY by name, in its order."""
    text = "\n".join(line for file in LIBRARY for line in _expand(file, {}))
    return {each[1]: each[0] for each in _FUNCTION.finditer(text)}


@lru_cache(256)  # the layers of a model are the same texts
def called(text: str) -> tuple[str, ...]:
    """The functions of the library that `text` calls, and those that they call."""
    names: set[str] = set()
    for name in library().keys() & set(_CALL.findall(text)):
        names |= _needs(name)
    return tuple(function for name, function in library().items() if name in names)


@cache
def _needs(name: str) -> frozenset[str]:
    """A function of the library and, as WGSL has no recursion, all below it."""
    inner = library().keys() & set(_CALL.findall(library()[name])) - {name}
    return frozenset({name}).union(*map(_needs, inner))


def _literal(value: Literal) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value}u" if isinstance(value, int) else f"f32({value!r})"


def _expand(name: str, flags: Mapping[str, bool]) -> list[str]:
    out: list[str] = []
    keep = [True]
    for number, line in enumerate(source(name).splitlines(), 1):
        word, _, rest = line.strip().partition(" ")
        if word == "#if":
            if rest not in flags:
                raise PlanError(
                    f"kernel {name}",
                    got=f"#if {rest}",
                    need=f"one of {sorted(flags)}",
                    where=f"line {number}",
                )
            keep.append(keep[-1] and flags[rest])
        elif word == "#else":
            keep[-1] = keep[-2] and not keep[-1]
        elif word == "#endif":
            keep.pop()
        elif not keep[-1]:
            continue
        elif word == "#include":
            out += _expand(rest, flags)
        elif not word.startswith("//"):
            out.append(line)
    return out
