"""The code of docs/hub.md runs as it stands, on its own index, and prints what it says."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from edgewise.errors import NoDeviceError, UnsupportedError
from edgewise.host.base import Device, Target
from edgewise.host.builtins import NoBuiltins
from edgewise.store.folder import Folder
from tests.hub.test_index import SCHEMA

PAGE = (Path(__file__).parents[2] / "docs" / "hub.md").read_text()


class Bare:
    """A machine with a store and nothing else."""

    builtins = NoBuiltins()

    def __init__(self, store: Path) -> None:
        self.store = Folder(store)

    async def open_device(self, target: Target | None = None) -> Device:
        raise NoDeviceError("no device")

    async def fetch_text(self, url: str) -> str:
        return blocks("json")[0]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_page(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (text,) = blocks("json")
    Draft202012Validator(SCHEMA).validate(json.loads(text))
    names: dict[str, Any] = {"text": text}
    printed = []
    for code in blocks("python"):
        if "mine" in code:  # somebody else's, with another size
            names["text"] = text.replace("80000000", "80000001")
        exec(compile(code, "docs/hub.md", "exec"), names)
        printed.append(capsys.readouterr().out)
    assert [each for each in printed if each] == blocks("text")
    host = Bare(tmp_path)
    with pytest.raises(UnsupportedError, match=r"no model for 'feature-extraction'.*without any"):
        asyncio.run(names["vectors"](host, ["Hello"]))
    assert asyncio.run(names["translate"](host, "Hello")) is None
