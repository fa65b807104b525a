"""The operator table against the specification's own interface."""

from __future__ import annotations

import json

import pytest

from edgewise.dtypes import DType
from edgewise.ops import OPS
from edgewise.ops.base import REQUIRED, Attr, Op
from tests.ops import idl

IDL = idl.read()
NO_OPERATORS = {"input", "constant", "build"}
METHODS = sorted(set(IDL.methods) - NO_OPERATORS)
KINDS = {
    "unsigned long": {"int", "dim"}, "long": {"int"}, "double": {"float"}, "MLNumber": {"number"},
    "boolean": {"bool"}, "MLOperandDataType": {"dtype"},
    "sequence<unsigned long>": {"ints", "dims"},
    "sequence<double>": {"floats"}, "sequence<float>": {"floats"},
    "(unsigned long or sequence<unsigned long>)": {"int|ints"},
    "sequence<MLRecurrentNetworkActivation>": {"strs"},
} | {name: {"str"} for name in IDL.enums if name != "MLOperandDataType"}  # fmt: skip
#: Defaults that the text gives in words alone.
PROSE: dict[str, Attr] = {
    "padding": (0, 0, 0, 0), "strides": (1, 1), "dilations": (1, 1), "outputPadding": (0, 0),
    "scales": (1.0, 1.0), "resample2d.axes": (2, 3),
}  # fmt: skip


def _options(method: str) -> dict[str, idl.Field]:
    last = IDL.methods[method][1][-1]
    assert last.name == "options"
    return IDL.options(last.type)


def _required(method: str) -> list[idl.Field]:
    return IDL.methods[method][1][:-1]


def _type(name: str, row: Op) -> str:
    """An argument's type, as the IDL would have it, or the kind of the row's attribute."""
    for port in row.inputs:
        if port.name == name:
            return "sequence<MLOperand>" if port.variadic else "MLOperand"
    return next(param.kind for param in row.attrs if param.name == name)


def test_every_method_of_the_builder_is_a_row_and_every_row_of_the_text_a_method() -> None:
    assert len(METHODS) == 95
    assert {op.name for op in OPS.values() if op.spec} == set(METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_arguments_and_options_are_the_texts(method: str) -> None:
    row = OPS[method]
    required = [field.name for field in _required(method)]
    assert list(row.order[: len(required)]) == required
    assert set(row.order[len(required) :]) == set(_options(method))
    assert row.several == IDL.methods[method][0].startswith("sequence<")


@pytest.mark.parametrize("method", METHODS)
def test_types_are_the_texts(method: str) -> None:
    row = OPS[method]
    for field in (*_required(method), *_options(method).values()):
        ours = _type(field.name, row)
        assert ours in KINDS.get(field.type, {field.type}), field


@pytest.mark.parametrize("method", METHODS)
def test_defaults_are_the_texts(method: str) -> None:
    row = OPS[method]
    options = _options(method)
    for param in row.attrs:
        if param.name not in options:
            assert param.default == REQUIRED, param
        elif (text := options[param.name].default) is not None:
            assert param.default == _default(text), param
            assert type(param.default) is type(_default(text)) or param.kind == "float"
        else:
            told = PROSE.get(f"{method}.{param.name}", PROSE.get(param.name))
            assert param.default in (None, told), param


def _default(text: str) -> Attr:
    number: Attr = json.loads(text)
    return DType(number) if number in set(DType) else number
