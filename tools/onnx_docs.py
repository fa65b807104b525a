"""Writes the tables of docs/onnx.md from the importer's code and the lists of its tests.

    python tools/onnx_docs.py

The text around the tables is written by hand. Of an operator's functions it reads which inputs'
values they take (`c.array(1)`, `c.list(1)` …) and what they refuse (`c.unsupported("…")`).
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "pyapp")]

import onnx  # noqa: E402

from edgewise.formats.onnx_schema import has_body  # noqa: E402
from edgewise.importers.onnx import registry  # noqa: E402
from edgewise.importers.onnx.absent import cause  # noqa: E402
from tests.onnx.known import KNOWN  # noqa: E402
from tests.onnx.node_cases import baseline, cases  # noqa: E402

PAGE = ROOT / "docs" / "onnx.md"
READS = {"array", "list", "list_or"}


@cache
def bodies(module: ModuleType) -> dict[str, ast.FunctionDef | ast.ClassDef]:
    """The functions and classes of a module, by name."""
    tree = ast.parse(inspect.getsource(module))
    return {each.name: each for each in tree.body
            if isinstance(each, ast.FunctionDef | ast.ClassDef)}  # fmt: skip


def reached(function: registry.Function) -> Iterator[ast.AST]:
    """What stands in a function, and in those of its module that it names."""
    plain = getattr(function, "func", function)
    module = inspect.getmodule(plain)
    assert module is not None, f"{plain=}"
    table, waiting, seen = bodies(module), [plain.__name__], set[str]()
    if plain.__name__ not in table:  # made by a function of the module
        waiting = [plain.__qualname__.split(".")[0]]
    while waiting:
        name = waiting.pop()
        if name in seen or name not in table:
            continue
        seen.add(name)
        for node in ast.walk(table[name]):
            yield node
            if isinstance(node, ast.Name):
                waiting.append(node.id)


def calls(function: registry.Function) -> Iterator[tuple[str, ast.Call]]:
    """Methods that are called on the call: name and what is given."""
    for node in reached(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr, node


def shaping(function: registry.Function, inputs: list[str]) -> list[str]:
    """The inputs whose values the graph is built for."""
    places = set()
    for name, node in calls(function):
        first = node.args[0] if node.args else None
        if name in READS and isinstance(first, ast.Constant) and isinstance(first.value, int):
            places.add(first.value)
    return [inputs[place] for place in sorted(places) if place < len(inputs)]


def refused(function: registry.Function) -> list[str]:
    """What a function says that it does not do."""
    found = []
    for name, node in calls(function):
        if name == "unsupported" and node.args:
            text = node.args[0]
            parts = text.values if isinstance(text, ast.JoinedStr) else [text]
            words = [part.value if isinstance(part, ast.Constant) else "…" for part in parts]
            found.append("".join(map(str, words)))
    return sorted(set(found))


def schemas(domain: str) -> dict[str, onnx.defs.OpSchema]:
    """The newest schema of every operator of a domain."""
    found: dict[str, onnx.defs.OpSchema] = {}
    for schema in onnx.defs.get_all_schemas():
        if schema.domain == domain:
            found[schema.name] = schema
    return found


def done(domain: str) -> str:
    """The table of operators that are done."""
    known = schemas(domain)
    rows = ["| operator | newest version | values needed | not done |", "| --- | --- | --- | --- |"]
    for (where, name), functions in sorted(registry.TABLE.items()):
        if where != domain:
            continue
        schema, function = known.get(name), functions[-1][1]
        inputs = [each.name for each in schema.inputs] if schema else []
        version = str(schema.since_version) if schema else ""
        needed = ", ".join(f"`{each}`" for each in shaping(function, inputs))
        rows.append(f"| {name} | {version} | {needed} | {'; '.join(refused(function))} |")
    return "\n".join(rows)


def absent() -> str:
    """The table of operators that are not done, and of those that ONNX's own bodies do."""
    reasons: dict[str, list[str]] = {}
    for domain in ("", "ai.onnx.ml", "ai.onnx.preview.training"):
        for name, schema in sorted(schemas(domain).items()):
            if (domain, name) in registry.TABLE:
                continue
            why = cause(domain, name)
            if why is None:
                assert has_body(domain, name, schema.since_version), f"a cause for {name}"
                why = "done, by the body that ONNX gives for it (needs the `onnx` package)"
            reasons.setdefault(why, []).append(f"{domain}.{name}" if domain else name)
    rows = [f"| {', '.join(names)} | {why} |" for why, names in reasons.items()]
    return "\n".join(["| operators | why |", "| --- | --- |", *rows])


def tests() -> str:
    """What passes of ONNX's node tests, and every case that does not."""
    names = baseline()
    lines = [f"ONNX {onnx.__version__} has {len(cases())} node tests; {len(names)} of them count "
             "(see `tools/onnx_baseline.py`).", ""]  # fmt: skip
    lines += ["| target | passed | share |", "| --- | --- | --- |"]
    for target, failing in KNOWN.items():
        passed = len(names) - len(failing)
        lines.append(f"| {target} | {passed} | {100 * passed / len(names):.1f} % |")
    for target, failing in KNOWN.items():
        lines += ["", f"Not passed on {target}:", "", "| test | cause |", "| --- | --- |"]
        lines += [f"| {name} | {why} |" for name, why in sorted(failing.items())]
    return "\n".join(lines)


def page(text: str) -> str:
    """The page with its tables as the code has them now."""
    tables = {"onnx": done(""), "ml": done("ai.onnx.ml"), "microsoft": done("com.microsoft"),
              "absent": absent(), "tests": tests()}  # fmt: skip
    for name, table in tables.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, found, rest = text.partition(begin)
        assert found, f"no {begin} in the page"
        _, found, after = rest.partition(end)
        assert found, f"no {end} in the page"
        text = f"{before}{begin}\n{table}\n{end}{after}"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
