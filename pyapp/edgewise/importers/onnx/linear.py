"""Products of matrices and tensors."""

from __future__ import annotations

from math import prod

from ...dtypes import DType
from ...errors import FormatError
from ...graph.graph import Value
from .fold import ints, need_room
from .registry import Call, onnx_op

F32, I32 = DType.FLOAT32, DType.INT32


def matmul(c: Call, a: Value, b: Value) -> Value:
    """NumPy's matmul: vectors are taken as rows and columns. Integers are multiplied as floats."""
    if not a.dtype.is_float:
        made = matmul(c, c.b.cast(a, F32), c.b.cast(b, F32))
        return c.b.cast(made, a.dtype)
    left, right = ints(a), ints(b)
    if len(left) >= 2 and len(right) >= 2:
        if left[-1] == 0:
            shape = [*_batch(left, right), left[-2], right[-1]]
            return c.b.expand(c.b.scalar(a.dtype, 0), shape)
        return c.b.matmul(a, b)
    if len(left) == 1:
        a = c.b.reshape(a, (1, left[0]))
    if len(right) == 1:
        b = c.b.reshape(b, (right[0], 1))
    made = c.b.matmul(a, b)
    shape = list(ints(made))
    if len(right) == 1:
        shape.pop()
    if len(left) == 1:
        shape.pop(-1 if len(right) == 1 else -2)
    return c.b.reshape(made, shape)


def _batch(left: tuple[int, ...], right: tuple[int, ...]) -> list[int]:
    from ...ops.shape import broadcast

    return [int(str(size)) for size in broadcast(left[:-2], right[:-2])]


@onnx_op("MatMul")
def MatMul(c: Call) -> Value:
    """Product of matrices, batches broadcast."""
    return matmul(c, c[0], c[1])


@onnx_op("Gemm")
def Gemm(c: Call) -> Value:
    """alpha A B + beta C."""
    a, b, bias = c[0], c[1], c.get(2)
    alpha, beta = c.float("alpha", 1), c.float("beta", 1)
    across = {"a_transpose": bool(c.int("transA", 0)), "b_transpose": bool(c.int("transB", 0))}
    if a.dtype.is_float:
        return c.b.gemm(a, b, c=bias, alpha=alpha, beta=beta, **across)
    floats = [None if x is None else c.b.cast(x, F32) for x in (a, b, bias)]
    made = c.b.gemm(floats[0], floats[1], c=floats[2], alpha=alpha, beta=beta, **across)
    return c.b.cast(made, a.dtype)


@onnx_op("Einsum", since=12)
def Einsum(c: Call) -> Value:
    """Sums of products by subscripts: one operand after the other is multiplied in."""
    terms, out = _subscripts(c)
    values = [_diagonal(c, c[place], term) for place, term in enumerate(terms)]
    value, have = values[0]
    for place, (other, term) in enumerate(values[1:], 1):
        later = "".join(terms[place + 1 :]) + out
        value, have = _contract(c, value, have, other, term, later)
    axes = [axis for axis, letter in enumerate(have) if letter not in out]
    if axes:
        value = c.b.reduce_sum(value, axes=axes)
        have = "".join(letter for letter in have if letter in out)
    order = [have.index(letter) for letter in out]
    return value if order == sorted(order) else c.b.transpose(value, permutation=order)


def _subscripts(c: Call) -> tuple[list[str], str]:
    """Letters of each operand and of the result; `...` stands for letters of their own."""
    text = c.str("equation").replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(c.inputs):
        raise FormatError("Einsum equation", got=text, need=f"{len(c.inputs)} operands")
    free = [chr(code) for code in range(0x100, 0x180)]
    widest = max(c.rank(place) - len(term.replace("...", "")) for place, term in enumerate(terms))
    dots = "".join(free[:widest])

    def spelt(place: int, term: str) -> str:
        count = c.rank(place) - len(term.replace("...", ""))
        return term.replace("...", dots[len(dots) - count :] if count else "")

    full = [spelt(place, term) for place, term in enumerate(terms)]
    if [len(term) for term in full] != [c.rank(place) for place in range(len(full))]:
        raise FormatError("Einsum equation", got=text, need="a letter for each axis")
    if not arrow:
        letters = sorted(set("".join(terms)) - {"."})
        right = "..." + "".join(each for each in letters if "".join(terms).count(each) == 1)
    return full, right.replace("...", dots)


def _diagonal(c: Call, value: Value, term: str) -> tuple[Value, str]:
    """A letter twice in a term is a diagonal: the sum with an identity matrix."""
    for letter in sorted(set(term)):
        while term.count(letter) > 1:
            first, second = term.index(letter), term.rindex(letter)
            size = ints(value)[first]
            need_room(size, size)
            mask = [size if axis in (first, second) else 1 for axis in range(len(term))]
            eye = [[float(i == j) for j in range(size)] for i in range(size)]
            only = c.b.mul(value, c.b.reshape(c.b.literal(eye, value.dtype), mask))
            value = c.b.reduce_sum(only, axes=[second])
            term = term[:second] + term[second + 1 :]
    return value, term


def _contract(c: Call, a: Value, have: str, b: Value, term: str, later: str) -> tuple[Value, str]:
    """a and b as one batched matrix product: letters of both and later, of one, and summed."""
    both = [x for x in have if x in term and x in later]
    summed = [x for x in have if x in term and x not in later]
    left = [x for x in have if x not in term]
    right = [x for x in term if x not in have]
    size = dict(zip(have, ints(a), strict=True))
    for letter, n in zip(term, ints(b), strict=True):
        size[letter] = max(size.get(letter, 1), n)
    a = _arranged(c, a, have, [both, left, summed], size)
    b = _arranged(c, b, term, [both, summed, right], size)
    made = matmul(c, a, b)
    letters = [*both, *left, *right]
    return c.b.reshape(made, [size[x] for x in letters]), "".join(letters)


def _arranged(c: Call, x: Value, have: str, groups: list[list[str]], size: dict[str, int]) -> Value:
    """`x` with its axes in the order of `groups`, each group as one axis."""
    letters = [letter for group in groups for letter in group]
    order = [have.index(letter) for letter in letters]
    if order != sorted(order):
        x = c.b.transpose(x, permutation=order)
    shape = [size[letter] for letter in letters]
    if list(ints(x)) != shape:
        x = c.b.expand(x, shape)
    return c.b.reshape(x, [prod(size[letter] for letter in group) for group in groups])


@onnx_op("Det", since=11)
def Det(c: Call) -> Value:
    """By cofactors along the first row: small matrices."""
    n = c.shape(0)[-1]
    if n > 6:
        raise c.unsupported(f"matrices of {n} rows")
    rows = [[_element(c, i, j) for j in range(n)] for i in range(n)]
    return _determinant(c, rows)


def _element(c: Call, row: int, column: int) -> Value:
    shape = c.shape(0)
    outer = len(shape) - 2
    cut = c.b.slice(c[0], [0] * outer + [row, column], [*shape[:-2], 1, 1])
    return c.b.reshape(cut, shape[:-2])


def _determinant(c: Call, rows: list[list[Value]]) -> Value:
    if len(rows) == 1:
        return rows[0][0]
    total: Value | None = None
    for column, head in enumerate(rows[0]):
        minor = [[each for j, each in enumerate(row) if j != column] for row in rows[1:]]
        term = c.b.mul(head, _determinant(c, minor))
        if total is None:
            total = term
        else:
            total = c.b.sub(total, term) if column % 2 else c.b.add(total, term)
    assert total is not None, "a row has elements"
    return total
