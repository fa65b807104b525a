"""What onnxruntime's CPU provider makes of a case."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import onnxruntime

from tests.models.cases import Arrays, Case, RealModel, each_run

LIMIT = 1e-3  # the product's promise; what is measured is nearer by far


class Official:
    """A model in onnxruntime; `scratch` is where its files are put side by side."""

    def __init__(self, model: RealModel, scratch: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        files = (model.file, *model.beside)
        if model.beside:
            files = tuple(_beside(file, scratch) for file in files)
        self._session = onnxruntime.InferenceSession(
            str(files[0]), options, providers=["CPUExecutionProvider"]
        )
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map

    def run(self, inputs: Arrays) -> Arrays:
        """One run."""
        names = [each.name for each in self._session.get_outputs()]
        return dict(zip(names, self._session.run(None, dict(inputs)), strict=True))

    def all(self, case: Case) -> list[Arrays]:
        """Every run of a case."""
        return list(each_run(case, self.run))


def _beside(file: Path, folder: Path) -> Path:
    """A link, and no symbolic one: onnxruntime refuses weights that lie outside the folder."""
    target = folder / file.name
    if not target.exists():
        try:
            os.link(file.resolve(), target)
        except OSError:
            shutil.copyfile(file, target)
    return target


def check(found: list[Arrays], wanted: list[Arrays]) -> None:
    """Assert that every output of every run agrees, to LIMIT of the largest element or 1."""
    assert len(found) == len(wanted)
    for place, (mine, official) in enumerate(zip(found, wanted, strict=True)):
        assert mine.keys() == official.keys()
        for name, array in official.items():
            assert mine[name].dtype == array.dtype, f"run {place}: {name}"
            scale = max(1.0, float(np.abs(array).max(initial=0)))
            np.testing.assert_allclose(
                mine[name], array, rtol=0, atol=LIMIT * scale, err_msg=f"run {place}: {name}"
            )
