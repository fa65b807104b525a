"""Every text of the model page that is not in model.html. Pure: facts in, rows of text out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import report
from dropped import Measured
from edgewise.errors import EdgewiseError
from edgewise.formats.onnx import OnnxModel, OnnxValue
from edgewise.formats.onnx_check import tensors_of
from edgewise.passes.base import Note
from edgewise.runtime.model import Report
from edgewise.store.progress import Progress
from edgewise.targets.device import DeviceFacts
from report import Row

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

READY = "Ready for a model."
LOOKING = "Looking at what this browser can do"
PACKAGES = {"numpy": "Fetching NumPy, once", "onnx": "Fetching ONNX, once"}
UNPACKING = "Unpacking"
READING = "Reading the model"
OPENED = "The model is read. Choose sizes and where it runs, then press Run."
PREPARING = "Compiling the model for this device, and running it once"
MEASURING = "Running it again, to see how long it takes"
BUG = "Choose the file again; if it stays so, reload the page."
AGAIN = "Its data files may be given now, without the model."

TARGETS = {
    "webgpu": "WebGPU",
    "webnn": "WebNN, the browser's own",
    "wasm": "Wasm, on the processor",
    "reference": "NumPy",
}
REFERENCE = "the definition: exact and slow, on the processor"
PLACING = ("place", "fit")
SHOWN_VALUES, SHOWN_OPERATORS, SHOWN_NOTES, SHOWN_ORIGINS = 8, 8, 200, 3


def target(name: str, facts: DeviceFacts | None, why: EdgewiseError | None) -> tuple[str, str]:
    """A target's title, and what is behind it or why it is not there."""
    if name == "reference":
        return TARGETS[name], REFERENCE
    if facts is None:
        return TARGETS[name], f"not here: {why.got or why.what}" if why else "not here"
    if name == "webnn":
        return TARGETS[name], "what it does not take runs on WebGPU or NumPy"
    return TARGETS[name], f"{facts.name}{' (software, slow)' if facts.fallback else ''}"


def downloading(progress: Progress) -> str:
    """How far the packages are."""
    text = f"{report.size(progress.done_nbytes)} of {report.size(progress.total_nbytes)}"
    if progress.rate:
        text += f", {report.size(progress.rate)}/s"
    return text


def too_large(nbytes: int, most: int) -> tuple[str, str]:
    """Got and need of files that are too large for a page."""
    return report.size(nbytes), f"at most {report.size(most)}"


def described(onnx: OnnxModel, nbytes: int) -> list[Row]:
    """What a model is."""
    graph = onnx.graph
    opsets = ", ".join(f"{domain or 'ai.onnx'} {n}" for domain, n in sorted(onnx.opsets.items()))
    counts = Counter(node.op_type for node in graph.nodes)
    common = ", ".join(f"{name} {n}" for name, n in counts.most_common(SHOWN_OPERATORS))
    more = len(counts) - SHOWN_OPERATORS
    weights = sum(tensor.nbytes for tensor in tensors_of(onnx))
    return [
        Row("Graph", graph.name or "without a name", ""),
        Row("Opset", opsets or "none", ""),
        Row("Operators", f"{len(graph.nodes)} nodes, {len(counts)} kinds",
            f"{common}{f' and {more} more kinds' if more > 0 else ''}."),
        Row("Weights", report.size(weights), f"The files have {report.size(nbytes)}."),
    ]  # fmt: skip


def value(each: OnnxValue) -> tuple[str, str]:
    """An input or output: its name, and its type and shape."""
    if each.shape is None:
        return each.name, f"{(each.dtype or 'unknown').lower()}, any shape"
    dims = ", ".join("?" if dim is None else str(dim) for dim in each.shape)
    return each.name, f"{(each.dtype or 'unknown').lower()} [{dims}]"


def made_up(seed: int, fills: Mapping[str, int]) -> str:
    """What the inputs of a run were."""
    text = f"Inputs drawn by numpy.random.default_rng({seed}), in the model's order"
    return "; ".join([text, *(f"{name} = {number}" for name, number in fills.items())]) + "."


def measured(result: Measured) -> list[Row]:
    """What a run took."""
    made = result.report
    rest = result.first_ms - made.compile_ms - made.load_ms
    return [
        Row("Ran on", TARGETS[made.facts.target], f"{made.facts.name}."),
        Row("First run", ms(result.first_ms),
            f"Compiling in Python {ms(made.compile_ms)}, loading {ms(made.load_ms)}, "
            f"reading the graph and running {ms(rest)}."),
        Row("Following runs", ms(result.following_ms), f"The median of {result.runs}, inputs sent "
            "and outputs read each time."),
        Row("Graph", f"{made.nodes[1]} nodes", f"{made.nodes[0]} before the passes."),
        Row(*_steps(made)),
        Row("Memory", report.size(made.nbytes), _memory(made)),
    ]  # fmt: skip


def _steps(made: Report) -> tuple[str, str, str]:
    count = str(sum(made.plan.steps.values()))
    if made.facts.target == "webgpu":
        return "Dispatches", count, f"Of {made.plan.kernels} kernels."
    if made.facts.target == "webnn":
        return "Calls", count, "Of WebNN's builder, and dispatches where another device helps."
    if made.facts.target == "wasm":
        return "Steps", count, f"Of {made.plan.kernels} kernels, shared among the threads."
    return "Steps", count, "One operator after the other."


def _memory(made: Report) -> str:
    agrees = "as planned" if made.nbytes == made.plan.nbytes else (
        f"planned {made.plan.nbytes:,}")  # fmt: skip
    text = f"{made.nbytes:,} bytes allocated, {agrees}; at most {made.peak_nbytes:,} while loading"
    live = made.plan.live_nbytes
    return f"{text}; {report.size(live)} for intermediate values." if live else f"{text}."


def output(name: str, array: Array) -> Row:
    """An output: its shape, its range, and its first values."""
    shape = f"{array.dtype} [{', '.join(map(str, array.shape))}]"
    return Row(name, shape, values(array))


def values(array: Array) -> str:
    """The first values with six digits."""
    first = [f"{each:.6g}" for each in array.reshape(-1)[:SHOWN_VALUES].tolist()]
    more = prod(array.shape) - len(first)
    return f"{', '.join(first)}{f' and {more:,} more' if more > 0 else ''}" or "no elements"


def ms(milliseconds: float) -> str:
    """Milliseconds for people."""
    if milliseconds >= 1e3:
        return f"{milliseconds / 1e3:.1f} s"
    return f"{milliseconds:.0f} ms" if milliseconds >= 10 else f"{milliseconds:.1f} ms"


def placing(notes: Iterable[Note]) -> list[Note]:
    """Notes that say where nodes run; the others are about fusion."""
    return sorted((note for note in notes if note.rule in PLACING), key=lambda n: n.rule == "place")


def placing_title(notes: Sequence[Note]) -> str:
    """Where the nodes are, in one line: the last note counts them."""
    return notes[-1].text.removeprefix("did ") if notes else ""


def fusion_title(notes: Sequence[Note]) -> str:
    """How many decisions there are."""
    did = sum(note.text.startswith("did") for note in notes)
    return f"{did} done, {len(notes) - did} declined"


def notes_rows(notes: Iterable[Note]) -> list[tuple[str, Row]]:
    """Decisions, those alike in one row, each with its state for the page."""
    alike: dict[tuple[str, str], list[str]] = {}
    for note in notes:
        alike.setdefault((note.rule, note.text), []).append(note.origin)
    rows = [_note(rule, text, origins) for (rule, text), origins in alike.items()]
    if len(rows) > SHOWN_NOTES:
        more = Row("…", f"and {len(rows) - SHOWN_NOTES} more", "")
        return [*rows[:SHOWN_NOTES], ("rejected", more)]
    return rows


def _note(rule: str, text: str, origins: Sequence[str]) -> tuple[str, Row]:
    named = list(dict.fromkeys(filter(None, origins)))
    at = ", ".join(named[:SHOWN_ORIGINS]) + (" …" if len(named) > SHOWN_ORIGINS else "")
    times = f" ×{len(origins)}" if len(origins) > 1 else ""
    state = "chosen" if text.startswith("did") else "rejected"
    return state, Row(f"{rule}{times}", f"{text}{f', at {at}' if at else ''}", "")


def done(result: Measured) -> str:
    """A run in one sentence, for those who listen."""
    return (f"Done on {TARGETS[result.report.facts.target]}: first run {ms(result.first_ms)}, "
            f"following runs {ms(result.following_ms)}.")  # fmt: skip
