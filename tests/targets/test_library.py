"""The WGSL functions that kernels call by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgewise.ops import OPS
from edgewise.ops.base import Op
from edgewise.targets.webgpu import template
from edgewise.targets.webgpu.template import LIBRARY, called, library, render

KERNELS = Path(template.__file__).parent / "kernels"


def defined(text: str) -> list[str]:
    """The names of a text's functions."""
    return re.findall(r"^fn (\w+)", text, re.MULTILINE)


def test_every_function_is_found_whole() -> None:
    files = [(KERNELS / name).read_text() for name in LIBRARY]
    assert list(library()) == [name for text in files for name in defined(text)]
    for name, text in library().items():
        assert defined(text) == [name]
        assert text.count("{") == text.count("}")


def test_a_kernel_gets_what_it_calls_and_what_that_calls() -> None:
    names = [defined(text)[0] for text in called("fn v(i: u32) -> f32 { return tan_f32(x(i)); }")]
    assert names == ["off_pi_f32", "tan_f32"]
    names = [defined(text)[0] for text in called("log1p_f32(max_f32(a, erf_f32(a)))")]
    assert names == ["is_nan_f32", "unless_nan_f32", "max_f32", "log_ratio_f32", "log1p_f32",
                     "erf_tail_f32", "erf_f32"]  # fmt: skip
    assert called("tanh(x) + my_erf_f32(x) + erf_f32") == ()


def test_a_kernel_has_each_once() -> None:
    text = render("made", head="fn v() -> f32 { return erf_f32(1.0); }", body="fn main() { v(); }")
    assert sorted(defined(text)) == sorted(set(defined(text)))
    assert defined(text)[-2:] == ["v", "main"]
    assert "erf_f32" in defined(text)


def test_names_are_never_a_kernels_own() -> None:
    """They end with the type that they compute in, as no function of WGSL does."""
    for name in library():
        assert re.search(r"(_[fiu]32|_[iu]64|[a-z]64)$", name), name
    for path in KERNELS.glob("*.wgsl"):
        if path.name not in LIBRARY:
            assert not library().keys() & set(defined(path.read_text())), path.name


@pytest.mark.parametrize("row", [row for row in OPS.values() if row.wgsl], ids=lambda row: row.name)
def test_what_rows_call_is_there(row: Op) -> None:
    assert row.wgsl is not None
    named = re.findall(r"(\w+_)(f32|\{T\})\(", row.wgsl)
    kinds = {"f32" if dtype.is_float else "i32" for dtype in row.inputs[0].dtypes}
    for name, kind in named:
        assert {name + each for each in (kinds if kind == "{T}" else ["f32"])} <= library().keys()
