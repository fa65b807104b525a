"""Real ONNX models on every target of CPython against onnxruntime."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewise.formats.onnx_read import parse
from edgewise.graph.text import parse_graph, print_graph
from edgewise.host.base import Target
from edgewise.host.cpython import CPythonHost
from edgewise.runtime.model import Report
from edgewise.runtime.onnx import Files, OnnxSession
from tests.models.cases import CASES, LINES, RECOGNITION, Arrays, Case, RealModel, each_run
from tests.models.official import Official, check

TARGETS = ["reference", "wasm", pytest.param("webgpu", marks=pytest.mark.gpu)]
Opener = Callable[[RealModel], Official]


@pytest.fixture(scope="session")
def official(tmp_path_factory: pytest.TempPathFactory) -> Opener:
    """Models in onnxruntime, each opened once."""
    opened: dict[Path, Official] = {}

    def find(model: RealModel) -> Official:
        if model.file not in opened:
            opened[model.file] = Official(model, tmp_path_factory.mktemp("official"))
        return opened[model.file]

    return find


class Ours:
    """A model on a target, on one event loop."""

    def __init__(self, host: CPythonHost, model: RealModel, target: Target) -> None:
        data = model.file.read_bytes()
        files = Files.joined({"": data, **{p.name: p.read_bytes() for p in model.beside}})
        self.loop = asyncio.new_event_loop()
        self.session = self.wait(OnnxSession.open(host, parse(data), files, target=target))

    def wait(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def run(self, inputs: Arrays) -> Arrays:
        found: Arrays = self.wait(self.session.run(inputs))
        return found

    def reports(self) -> list[Report]:
        """Of the graphs that were built, one for each set of shapes."""
        return [each.model.report for each in self.session._loaded.values()]

    def close(self) -> None:
        self.wait(self.session.close())
        self.loop.close()


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Callable[[RealModel, Target], Ours]]:
    opened: list[Ours] = []

    def open_model(model: RealModel, target: Target) -> Ours:
        opened.append(Ours(CPythonHost(tmp_path), model, target))
        return opened[-1]

    yield open_model
    for each in opened:
        each.close()


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", CASES)
def test_agrees_with_onnxruntime(name: str, target: Target, official: Opener, ours: Any) -> None:
    case: Case = CASES[name]
    model = ours(case.model, target)
    check(list(each_run(case, model.run)), official(case.model).all(case))
    reports = model.reports()
    for report in reports:
        plan = report.plan
        held, planned = (report.nbytes, report.peak_nbytes), (plan.nbytes, plan.peak_nbytes)
        if len(reports) == 1:
            assert held == planned, str(report)
        else:  # those after the first have weights from it
            assert all(n <= most for n, most in zip(held, planned, strict=True)), str(report)
        assert report.facts.target == target


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", CASES)
def test_text_form(name: str, ours: Any) -> None:
    """The graph of every model survives being printed and parsed."""
    case = CASES[name]
    model = ours(case.model, "reference")
    inputs = case.runs()[0]
    imported = model.session._import(tuple(array.shape for array in inputs.values()), inputs)
    assert parse_graph(print_graph(imported.graph)) == imported.graph


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_patterns_of_an_export_are_found(ours: Any) -> None:
    """Every layer's attention and GELU are one node, and the notes say so."""
    case = CASES["minilm-1"]
    model = ours(case.model, "reference")
    model.run(case.runs()[0])
    (report,) = model.reports()
    done = Counter(note.rule for note in report.notes if note.text.startswith("did"))
    assert (done["attention"], done["gelu"]) == (6, 6)


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_text_is_read(official: Opener, ours: Any) -> None:
    """What recognition reads in the picture is what was written there."""
    letters = ["", *official(RECOGNITION).metadata["character"].splitlines(), " "]
    run = CASES["recognition"].runs()[0]
    (scores,) = ours(RECOGNITION, "reference").run(run).values()
    best = scores[0].argmax(axis=-1)
    kept = [int(id) for id, before in zip(best, [0, *best[:-1]], strict=True) if id != before]
    assert "".join(letters[id] for id in kept) == LINES[0]


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_voice_is_found(official: Opener) -> None:
    """The case is a real one: the model hears speech in parts of it, and silence in others."""
    case = CASES["voice"]
    heard = np.concatenate([run["output"][0] for run in official(case.model).all(case)])
    assert heard.max() > 0.5 > heard.min()
