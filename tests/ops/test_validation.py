"""What the specification's steps refuse, one row a rule: the error's class and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from edgewise.dims import symbol
from edgewise.dtypes import DType
from edgewise.errors import DTypeError, EdgewiseError, GraphError, ShapeError
from edgewise.graph.builder import GraphBuilder
from edgewise.ops import OPS
from edgewise.ops.base import Shape, snake

F32, F16, I32, I64, U8, I8, U32, U64, I4 = (
    DType(name) for name in ("float32", "float16", "int32", "int64", "uint8", "int8", "uint32",
                             "uint64", "int4")
)  # fmt: skip
Types = Mapping[str, tuple[DType, Shape]]
REFUSED: list[tuple[str, Types, dict[str, Any], type[EdgewiseError], str]] = [
    # element-wise
    ("add", {"a": (F32, (2,)), "b": (F16, (2,))}, {}, DTypeError, "float32 as a"),
    ("add", {"a": (F32, (2, 3)), "b": (F32, (2,))}, {}, ShapeError, "equal dimensions or 1"),
    ("add", {"a": (I4, (2,)), "b": (I4, (2,))}, {}, DTypeError, "input 'a'"),
    ("ceil", {"input": (I32, (2,))}, {}, DTypeError, "one of float16, float32"),
    ("neg", {"input": (U32, (2,))}, {}, DTypeError, "input 'input'"),
    ("sign", {"input": (U8, (2,))}, {}, DTypeError, "input 'input'"),
    ("relu", {"input": (U64, (2,))}, {}, DTypeError, "input 'input'"),
    ("prelu", {"input": (F32, (2,)), "slope": (I32, (2,))}, {}, DTypeError, "input 'slope'"),
    ("prelu", {"input": (F32, (2,)), "slope": (F32, (3,))}, {}, ShapeError, "axis 0"),
    ("logicalXor", {"a": (I32, (2,)), "b": (I32, (2,))}, {}, DTypeError, "one of uint8"),
    ("isNaN", {"a": (I32, (2,))}, {}, DTypeError, "one of float16, float32"),
    ("where", {"condition": (I32, ()), "trueValue": (F32, ()), "falseValue": (F32, ())}, {},
     DTypeError, "input 'condition'"),
    ("where", {"condition": (U8, ()), "trueValue": (F32, ()), "falseValue": (F16, ())}, {},
     DTypeError, "input 'falseValue'"),
    ("clamp", {"input": (F32, (2,))}, {"minValue": 2, "maxValue": 1.5}, ShapeError, "minValue"),
    ("clamp", {"input": (I32, (2,))}, {"minValue": "1"}, GraphError, "kind number"),
    ("elu", {"input": (I32, (2,))}, {}, DTypeError, "input 'input'"),
    ("linear", {"input": (F32, (2,))}, {"alpha": "steep"}, GraphError, "kind float"),
    ("cast", {"input": (F32, (2,))}, {"dataType": "int32"}, GraphError, "kind dtype"),
    # movement
    ("concat", {"inputs": (F32, (2,))}, {"axis": 1}, ShapeError, "an axis of"),
    ("expand", {"input": (F32, (2,))}, {"newShape": (3,)}, ShapeError, "newShape|shapes"),
    ("expand", {"input": (F32, (2, 1))}, {"newShape": (2,)}, ShapeError, "newShape|shapes"),
    ("reshape", {"input": (F32, (2, 3))}, {"newShape": (5,)}, ShapeError, "as many elements"),
    ("reshape", {"input": (F32, (2, 3))}, {"newShape": (-2, -3)}, ShapeError, "sizes from 0"),
    ("transpose", {"input": (F32, (2, 3))}, {"permutation": (0,)}, ShapeError, "every axis"),
    ("transpose", {"input": (F32, (2, 3))}, {"permutation": (1, 1)}, ShapeError, "different axes"),
    ("transpose", {"input": (F32, (2, 3))}, {"permutation": (0, 2)}, ShapeError, "different axes"),
    ("slice", {"input": (F32, (4,))}, {"starts": (1, 0), "sizes": (2,)}, ShapeError, "1 of each"),
    ("slice", {"input": (F32, (4,))}, {"starts": (3,), "sizes": (2,)}, ShapeError, "within 4"),
    ("slice", {"input": (F32, (4,))}, {"starts": (-1,), "sizes": (2,)}, ShapeError, "within 4"),
    ("slice", {"input": (F32, (4,))}, {"starts": (0,), "sizes": (2,), "strides": (0,)},
     ShapeError, "at least 1"),
    ("slice", {"input": (F32, (4,))}, {"starts": (0,), "sizes": (2,), "strides": ()},
     ShapeError, "1 of each"),
    ("split", {"input": (F32, (4,))}, {"splits": 3}, ShapeError, "parts of 4"),
    ("split", {"input": (F32, (4,))}, {"splits": 0}, ShapeError, "1 to 8192"),
    ("split", {"input": (F32, (4,))}, {"splits": 1 << 40}, ShapeError, "1 to 8192"),
    ("split", {"input": (F32, (4,))}, {"splits": ()}, ShapeError, "1 to 8192"),
    ("split", {"input": (F32, (4,))}, {"splits": (5, -1)}, ShapeError, "parts of 4"),
    ("split", {"input": (F32, (4,))}, {"splits": (1, 2)}, ShapeError, "parts of 4"),
    ("split", {"input": (F32, (4,))}, {"splits": 2, "axis": 1}, ShapeError, "an axis of"),
    ("split", {"input": (F32, ())}, {"splits": 1}, ShapeError, "an axis of"),
    ("pad", {"input": (F32, (4,))}, {"beginningPadding": (1, 1), "endingPadding": (1,)},
     ShapeError, "beginningPadding"),
    ("pad", {"input": (F32, (4,))}, {"beginningPadding": (1,), "endingPadding": ()},
     ShapeError, "endingPadding"),
    ("pad", {"input": (F32, (4,))}, {"beginningPadding": (-1,), "endingPadding": (1,)},
     ShapeError, "beginningPadding"),
    ("pad", {"input": (F32, (4,))},
     {"beginningPadding": (4,), "endingPadding": (0,), "mode": "reflection"},
     ShapeError, "less than 4"),
    ("pad", {"input": (F32, (4,))},
     {"beginningPadding": (0,), "endingPadding": (4,), "mode": "reflection"},
     ShapeError, "endingPadding"),
    ("pad", {"input": (F32, (0,))},
     {"beginningPadding": (1,), "endingPadding": (0,), "mode": "edge"}, ShapeError, "'edge'"),
    ("pad", {"input": (F32, (4,))},
     {"beginningPadding": (1,), "endingPadding": (1,), "mode": "wrap"}, GraphError, "mode"),
    ("pad", {"input": (F32, (4,))}, {"beginningPadding": (2**31,), "endingPadding": (0,)},
     ShapeError, "sizes from 0"),
    ("reverse", {"input": (F32, (2, 3))}, {"axes": (2,)}, ShapeError, "different axes"),
    ("reverse", {"input": (F32, (2, 3))}, {"axes": (1, 1)}, ShapeError, "different axes"),
    ("tile", {"input": (F32, (2, 3))}, {"repetitions": (2,)}, ShapeError, "repetitions"),
    ("tile", {"input": (F32, (2,))}, {"repetitions": (-1,)}, ShapeError, "repetitions"),
    ("tile", {"input": (F32, (2,))}, {"repetitions": (2**31,)}, ShapeError, "sizes from 0"),
    ("triangular", {"input": (F32, (2,))}, {}, ShapeError, "rank 2 or more"),
    ("triangular", {"input": (F32, (2, 2))}, {"diagonal": 2**31}, ShapeError, "diagonal"),
    # gather and scatter
    ("gather", {"input": (F32, (4,)), "indices": (F32, (2,))}, {}, DTypeError, "input 'indices'"),
    ("gather", {"input": (F32, (4,)), "indices": (U64, (2,))}, {}, DTypeError, "input 'indices'"),
    ("gather", {"input": (F32, ()), "indices": (I32, (2,))}, {}, ShapeError, "an axis of"),
    ("gather", {"input": (F32, (4,)), "indices": (I32, (2,))}, {"axis": 1}, ShapeError, "axis"),
    ("gather", {"input": (F32, (0, 2)), "indices": (I32, (2,))}, {}, ShapeError, "no positions"),
    ("gatherElements", {"input": (F32, (4, 3)), "indices": (I32, (2,))}, {}, ShapeError,
     "the shape of"),
    ("gatherElements", {"input": (F32, (4, 3)), "indices": (I32, (4, 2))}, {}, ShapeError,
     "but for axis 0"),
    ("gatherND", {"input": (F32, ()), "indices": (I32, (1,))}, {}, ShapeError, "input 'input'"),
    ("gatherND", {"input": (F32, (4,)), "indices": (I32, ())}, {}, ShapeError, "input 'indices'"),
    ("gatherND", {"input": (F32, (4,)), "indices": (I32, (5, 2))}, {}, ShapeError, "from 1 to 1"),
    ("gatherND", {"input": (F32, (4,)), "indices": (I32, (5, symbol("n", 3)))}, {}, ShapeError,
     "a last size"),
    ("scatterElements",
     {"input": (F32, (4,)), "indices": (I32, (2,)), "updates": (F16, (2,))}, {},
     DTypeError, "input 'updates'"),
    ("scatterElements",
     {"input": (F32, (4,)), "indices": (I32, (2,)), "updates": (F32, (3,))}, {},
     ShapeError, "input 'updates'"),
    ("scatterElements",
     {"input": (F32, (4,)), "indices": (I32, (2, 1)), "updates": (F32, (2, 1))}, {},
     ShapeError, "input 'indices'"),
    ("scatterND",
     {"input": (F32, (4, 3)), "indices": (I32, (2, 1)), "updates": (F32, (2,))}, {},
     ShapeError, "shape \\[2, 3\\]"),
    ("scatterND",
     {"input": (F32, (4, 3)), "indices": (I32, (2, 3)), "updates": (F32, (2,))}, {},
     ShapeError, "from 1 to 2"),
    # reductions
    ("reduceL2", {"input": (I32, (2,))}, {}, DTypeError, "input 'input'"),
    ("reduceSum", {"input": (I8, (2,))}, {}, DTypeError, "input 'input'"),
    ("reduceProduct", {"input": (F32, (2, 3))}, {"axes": (2,)}, ShapeError, "different axes"),
    ("reduceMax", {"input": (F32, (2, 3))}, {"axes": (0, 0)}, ShapeError, "different axes"),
    ("reduceMin", {"input": (F32, (2, 3))}, {"axes": (-1,)}, ShapeError, "different axes"),
    ("argMin", {"input": (F32, ())}, {"axis": 0}, ShapeError, "an axis of"),
    ("argMax", {"input": (F32, (2,))}, {"axis": 0, "outputDataType": F32}, DTypeError,
     "int32 or int64"),
    ("argMax", {"input": (F32, (2,))}, {"axis": 0, "outputDataType": U32}, DTypeError,
     "int32 or int64"),
    ("cumulativeSum", {"input": (I8, (2,))}, {"axis": 0}, DTypeError, "input 'input'"),
    ("cumulativeSum", {"input": (F32, (2,))}, {"axis": 1}, ShapeError, "an axis of"),
    # products
    ("matmul", {"a": (F32, (2,)), "b": (F32, (2, 3))}, {}, ShapeError, "rank 2 or more"),
    ("matmul", {"a": (F32, (2, 3)), "b": (F32, (2, 3))}, {}, ShapeError, "a.shape"),
    ("matmul", {"a": (I32, (2, 3)), "b": (I32, (3, 3))}, {}, DTypeError, "input 'a'"),
    ("matmul", {"a": (F32, (5, 2, 3)), "b": (F32, (4, 3, 2))}, {}, ShapeError, "axis 0"),
    ("gemm", {"a": (F32, (2, 3, 4)), "b": (F32, (4, 3))}, {}, ShapeError, "input 'a'"),
    ("gemm", {"a": (F32, (2, 3)), "b": (F32, (3,))}, {}, ShapeError, "input 'b'"),
    ("gemm", {"a": (F32, (2, 3)), "b": (F32, (3, 4))}, {"aTranspose": True}, ShapeError,
     "as many columns as rows"),
    ("gemm", {"a": (F32, (2, 3)), "b": (F32, (3, 4)), "c": (F32, (3,))}, {}, ShapeError,
     "broadcasts to \\[2, 4\\]"),
    ("gemm", {"a": (F32, (2, 3)), "b": (F32, (3, 4)), "c": (F32, (1, 2, 4))}, {}, ShapeError,
     "input 'c'"),
    ("gemm", {"a": (F32, (2, 3)), "b": (F32, (3, 4)), "c": (F16, (4,))}, {}, DTypeError,
     "input 'c'"),
    ("softmax", {"input": (F32, (2,))}, {"axis": 1}, ShapeError, "an axis of"),
    ("softmax", {"input": (I32, (2,))}, {"axis": 0}, DTypeError, "input 'input'"),
    # quantisation
    ("dequantizeLinear", {"input": (I64, (4,)), "scale": (F32, (1,)), "zeroPoint": (I64, (1,))},
     {}, DTypeError, "input 'input'"),
    ("dequantizeLinear", {"input": (I8, (4,)), "scale": (I8, (1,)), "zeroPoint": (I8, (1,))},
     {}, DTypeError, "input 'scale'"),
    ("dequantizeLinear", {"input": (I8, (4,)), "scale": (F32, (1,)), "zeroPoint": (U8, (1,))},
     {}, DTypeError, "input 'zeroPoint'"),
    ("dequantizeLinear", {"input": (I8, (4,)), "scale": (F32, ()), "zeroPoint": (I8, ())},
     {}, ShapeError, "the rank of"),
    ("dequantizeLinear", {"input": (I8, (4,)), "scale": (F32, (2,)), "zeroPoint": (I8, (4,))},
     {}, ShapeError, "input 'zeroPoint'"),
    ("dequantizeLinear", {"input": (I8, (4,)), "scale": (F32, (3,)), "zeroPoint": (I8, (3,))},
     {}, ShapeError, "sizes that divide"),
    ("dequantizeLinear", {"input": (I8, (4,)), "scale": (F32, (8,)), "zeroPoint": (I8, (8,))},
     {}, ShapeError, "sizes that divide"),
    ("quantizeLinear", {"input": (F32, (4,)), "scale": (F16, (1,)), "zeroPoint": (I8, (1,))},
     {}, DTypeError, "input 'scale'"),
    ("quantizeLinear", {"input": (I32, (4,)), "scale": (F32, (1,)), "zeroPoint": (I8, (1,))},
     {}, DTypeError, "input 'input'"),
    ("quantizeLinear", {"input": (F32, (4,)), "scale": (F32, (1,)), "zeroPoint": (I64, (1,))},
     {}, DTypeError, "input 'zeroPoint'"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("op", "types", "attrs", "error", "says"), REFUSED,
    ids=[f"{row[0]}-{index}" for index, row in enumerate(REFUSED)],
)  # fmt: skip
def test_what_the_text_refuses(
    op: str, types: Types, attrs: dict[str, Any], error: type[EdgewiseError], says: str
) -> None:
    builder, row = GraphBuilder("refused"), OPS[op]
    builder.symbol("n", 3)
    values: dict[str, Any] = {
        snake(name): builder.input(name, *type) for name, type in types.items()
    }
    if row.inputs[0].variadic:
        values = {name: [value] for name, value in values.items()}
    given = {snake(name): attr for name, attr in attrs.items()}
    with pytest.raises(error, match=says) as refusal, builder.scope("layer.3"):
        getattr(builder, row.method)(**values, **given)
    assert str(refusal.value).startswith(f"{op} ")
    assert refusal.value.where == "layer.3"


def test_inputs_of_a_concatenation_agree() -> None:
    builder: Any = GraphBuilder("refused")
    a, b = builder.input("a", F32, (2, 3)), builder.input("b", F32, (2,))
    c, d = builder.input("c", F32, (3, 3)), builder.input("d", F16, (2, 3))
    for other, axis, error in ((b, 1, ShapeError), (c, 1, ShapeError), (d, 0, DTypeError)):
        with pytest.raises(error, match="concat input"):
            builder.concat([a, other], axis)
    with pytest.raises(ShapeError, match="8192"):
        builder.concat([a] * 8193, 0)
    with pytest.raises(GraphError, match="concat inputs"):
        builder.concat([], 0)


def test_numbers_out_of_range_are_cast_as_the_text_says() -> None:
    builder: Any = GraphBuilder("cast")
    x = builder.input("x", I8, (2,))
    builder.clamp(x, min_value=-1e9, max_value=10**30)  # -128 and 127
    builder.clamp(x, min_value=float("nan"), max_value=0)  # NaN is 0
    with pytest.raises(ShapeError, match="minValue"):
        builder.clamp(x, min_value=float("nan"), max_value=-1)
    y = builder.input("y", F16, (2,))
    builder.clamp(y, min_value=70000, max_value=float("inf"))  # both are infinite in half precision


@pytest.mark.parametrize(
    ("name", "method"),
    [("isNaN", "is_nan"), ("isInfinite", "is_infinite"), ("gatherND", "gather_nd"),
     ("scatterND", "scatter_nd"), ("reduceL1", "reduce_l1"), ("l2Pool2d", "l2_pool2d"),
     ("averagePool2d", "average_pool2d"), ("convTranspose2d", "conv_transpose2d"),
     ("reduceLogSumExp", "reduce_log_sum_exp"), ("aTranspose", "a_transpose"),
     ("resample2d", "resample2d"), ("gruCell", "gru_cell"), ("outputDataType", "output_data_type")],
)  # fmt: skip
def test_names_in_python(name: str, method: str) -> None:
    assert snake(name) == method
