"""The one text form of a graph: printed for people, parsed back without loss.

    graph double
    symbol seq <= 256
    input x: float32[seq, 64]
    constant w: float32[64] = F32 values "blk.0.attn_norm.weight"
    constant two: float32[] = 0x00000040
    y: float32[seq, 64] = mul(x, two) @ "blk.0"
    z: float32[seq, 64] = rmsNorm(y, w) {eps=1e-05} @ "blk.0"
    output z = z

Names that are not plain words are quoted. Floats are printed by repr, inline data in hex,
symbolic attributes in parentheses, and `_` stands for an optional input that is not given.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import cast

from .. import dims
from ..dims import Dim, Expr
from ..dtypes import DType
from ..errors import EdgewiseError, FormatError
from .graph import PARTS, Attr, Constant, Graph, Node, Part, Source, Value

WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.]*")
TOKEN = re.compile(
    r'\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<data>0x[0-9a-f]*)|(?P<mark><=|[][(){},:=@_])'
    r"|(?P<number>-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?![A-Za-z0-9_.*+-])"
    r"|(?P<dim>[A-Za-z0-9_.*+-]+))"
)
FLOATS = {"inf", "-inf", "nan"}


def print_graph(graph: Graph) -> str:
    """The text form of `graph`."""
    lines = [f"graph {_name(graph.name)}"]
    lines += [f"symbol {name} <= {bound}" for name, bound in graph.symbols.items()]
    lines += [f"input {_value(graph.values[name])}" for name in graph.inputs]
    lines += [f"state {_value(graph.values[name])}" for name in graph.states]
    lines += [_constant(constant) for constant in graph.constants.values()]
    lines += [_node(graph, node) for node in graph.nodes]
    lines += [f"output {_name(public)} = {_name(name)}" for public, name in graph.outputs.items()]
    lines += [f"update {_name(state)} = {_name(name)}" for state, name in graph.updates.items()]
    return "\n".join(lines) + "\n"


def _name(name: str) -> str:
    return name if WORD.fullmatch(name) and name not in KEYWORDS else json.dumps(name)


def _value(value: Value) -> str:
    return f"{_name(value.name)}: {value}"


def _constant(constant: Constant) -> str:
    source = constant.source
    if source is None:
        text = f"0x{(constant.data or b'').hex()}"
    else:
        text = f"{_name(source.type)} {source.part} {json.dumps(source.tensor)}"
    return f"constant {_value(constant.value)} = {text}"


def _node(graph: Graph, node: Node) -> str:
    outputs = ", ".join(_value(graph.values[name]) for name in node.outputs)
    inputs = ", ".join("_" if name is None else _name(name) for name in node.inputs)
    attrs = ", ".join(f"{name}={_attr(attr)}" for name, attr in node.attrs.items())
    text = f"{outputs} = {node.op}({inputs})"
    text += f" {{{attrs}}}" if attrs else ""
    return text + (f" @ {json.dumps(node.origin)}" if node.origin else "")


def _attr(attr: Attr) -> str:
    if isinstance(attr, bool):
        return str(attr).lower()
    if isinstance(attr, DType):
        return attr.value
    if isinstance(attr, str):
        return json.dumps(attr)
    if isinstance(attr, Expr):
        return f"({attr})"
    if isinstance(attr, tuple):
        return f"[{', '.join(map(_attr, attr))}]"
    return repr(attr)


def parse_graph(text: str) -> Graph:
    """The graph that `print_graph` printed. It is not verified.

    Raises FormatError, naming the line, for anything else.
    """
    parser = _Parser()
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            parser.line(line)
        except FormatError as error:
            raise FormatError(error.what, got=error.got, need=error.need,
                              where=f"line {number}: {line[:100]}") from None  # fmt: skip
        except (EdgewiseError, ValueError, RecursionError) as error:
            raise FormatError("graph text", got=str(error), where=f"line {number}") from None
    return parser.graph()


class _Parser:
    """Reads line by line; `self.rest` is what is left of the line's tokens."""

    def __init__(self) -> None:
        self.name = ""
        self.symbols: dict[str, int] = {}
        self.inputs: list[str] = []
        self.states: list[str] = []
        self.constants: dict[str, Constant] = {}
        self.values: dict[str, Value] = {}
        self.nodes: list[Node] = []
        self.outputs: dict[str, str] = {}
        self.updates: dict[str, str] = {}
        self.rest: list[tuple[str, str]] = []

    def graph(self) -> Graph:
        return Graph(self.name, self.symbols, tuple(self.inputs), tuple(self.states),
                     self.constants, self.values, tuple(self.nodes), self.outputs,
                     self.updates)  # fmt: skip

    def line(self, line: str) -> None:
        self.rest = []
        position = 0
        while line[position:].strip():
            match = TOKEN.match(line, position)
            if match is None:
                raise FormatError("graph text", got=repr(line[position : position + 20]))
            self.rest.append((str(match.lastgroup), match.group(str(match.lastgroup))))
            position = match.end()
        self.rest.reverse()
        KEYWORDS.get(self.peek(), _Parser.node)(self)
        if self.rest:
            raise FormatError("graph text", got=repr(self.rest[-1][1]), need="the end of the line")

    def peek(self) -> str:
        return self.rest[-1][1] if self.rest else ""

    def take(self, *expected: str) -> str:
        """The next token's text, which is one of `expected`, or a mark or kind of token."""
        if not self.rest:
            raise FormatError("graph text", got="the end of the line", need=" or ".join(expected))
        kind, text = self.rest[-1]
        if kind not in expected and text not in expected:
            raise FormatError("graph text", got=repr(text), need=" or ".join(expected))
        self.rest.pop()
        return text

    def word(self) -> str:
        text = self.take("dim", "string")
        return str(json.loads(text)) if text[0] == '"' else text

    def dim(self) -> Dim:
        return dims.parse(self.take("dim", "number"), self.symbols)

    def several(self, end: str, item: Callable[[], object]) -> list[object]:
        """Items between commas, up to and with `end`."""
        items: list[object] = []
        while self.peek() != end:
            items.append(item())
            if self.peek() != end:
                self.take(",")
        self.take(end)
        return items

    def value(self) -> Value:
        name = self.word()
        self.take(":")
        dtype = DType(self.take("dim"))
        self.take("[")
        value = Value(name, dtype, tuple(cast("list[Dim]", self.several("]", self.dim))))
        if name in self.values:
            raise FormatError(f"value {name!r}", got="a second definition", need="one")
        self.values[name] = value
        return value

    def read_name(self) -> None:
        self.take("graph")
        self.name = self.word()

    def read_symbol(self) -> None:
        self.take("symbol")
        name = self.word()
        self.take("<=")
        self.symbols[name] = int(self.take("number"))

    def read_input(self) -> None:
        self.take("input")
        self.inputs.append(self.value().name)

    def read_state(self) -> None:
        self.take("state")
        self.states.append(self.value().name)

    def read_constant(self) -> None:
        self.take("constant")
        value = self.value()
        self.take("=")
        source, data = None, None
        if self.peek().startswith("0x"):
            data = bytes.fromhex(self.take("data")[2:])
        else:
            type, part = self.word(), cast("Part", self.take(*PARTS))
            source = Source(self.word(), type, part)
        self.constants[value.name] = Constant(value, source, data)

    def pair(self, table: dict[str, str], keyword: str) -> None:
        self.take(keyword)
        name = self.word()
        self.take("=")
        table[name] = self.word()

    def read_output(self) -> None:
        self.pair(self.outputs, "output")

    def read_update(self) -> None:
        self.pair(self.updates, "update")

    def node(self) -> None:
        outputs = cast("list[Value]", self.several("=", self.value))
        op = self.word()
        self.take("(")
        inputs = cast("list[str | None]", self.several(")", self.optional))
        attrs: Mapping[str, Attr] = {}
        if self.peek() == "{":
            self.take("{")
            attrs = dict(cast("list[tuple[str, Attr]]", self.several("}", self.attr_pair)))
        origin = ""
        if self.peek() == "@":
            self.take("@")
            origin = self.word()
        names = tuple(value.name for value in outputs)
        self.nodes.append(Node(op, tuple(inputs), names, attrs, origin))

    def optional(self) -> str | None:
        if self.peek() != "_":
            return self.word()
        self.take("_")
        return None

    def attr_pair(self) -> tuple[str, Attr]:
        name = self.word()
        self.take("=")
        return name, self.attr()

    def attr(self) -> Attr:
        kind, text = self.rest.pop() if self.rest else ("", "")
        if text in FLOATS or (kind == "number" and set(text) & set(".e")):
            return float(text)
        if kind == "number":
            return int(text)
        if kind == "string":
            return str(json.loads(text))
        if text == "(":
            dim = self.dim()
            self.take(")")
            return dim
        if text == "[":
            return tuple(cast("list[Attr]", self.several("]", self.attr)))
        if text in ("true", "false"):
            return text == "true"
        return DType(text)


KEYWORDS: dict[str, Callable[[_Parser], None]] = {
    "graph": _Parser.read_name, "symbol": _Parser.read_symbol, "input": _Parser.read_input,
    "state": _Parser.read_state, "constant": _Parser.read_constant,
    "output": _Parser.read_output, "update": _Parser.read_update,
}  # fmt: skip
