"""Compiles the Wasm modules while a wheel or an editable install is built, and packs them.

The page's own wheel is built without this hook: a page fetches the one module that it can run.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WasmModules(BuildHookInterface[Any]):
    """The hook that pyproject.toml names."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before files are collected."""
        subprocess.run([sys.executable, Path(self.root) / "tools" / "build_wasm.py"], check=True)
        build_data["artifacts"].append("pyapp/edgewise/host/modules/*.wasm")
