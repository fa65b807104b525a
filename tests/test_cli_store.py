"""`edgewise store …`, as a person meets it, over a model that was used for a chat."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from edgewise import cli_store
from edgewise.cli import main
from edgewise.store.folder import Folder
from edgewise.store.records import running
from tests.tiny_chat import TinyChat


def test_a_model_from_its_first_use_to_its_end(
    tiny: TinyChat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_store, "OUT", Console(width=500, highlight=False))
    folder, file, url = Folder(tmp_path / "store"), tmp_path / "tiny.tar", str(tiny.manifest)

    def edgewise(*args: str, code: int = 0) -> str:
        told = CliRunner().invoke(main, args, env={"EDGEWISE_STORE": str(folder.root)})
        assert told.exit_code == code, told.output
        return told.output if code else told.stdout

    assert edgewise("store", "ls") == f"No models in {folder.root}\n"
    asking = "--max-tokens", "2", "--target", "reference", "--policy", "local"
    first = edgewise("chat", "hi", "--model", url, *asking)
    row = edgewise("store", "ls").splitlines()[3]
    assert url in row
    assert "0.0 MB" in row, "nothing is shared"
    name = row.split()[1]
    for state, command in (("pinned", "pin"), ("", "unpin")):
        edgewise("store", command, name)
        assert edgewise("store", "ls").splitlines()[3].split("│")[5].strip() == state
    assert edgewise("store", "export", name, str(file)).startswith(str(file))

    async def while_it_runs() -> str:
        async with folder.lock(running(url), shared=True):
            return await asyncio.to_thread(edgewise, "store", "evict", name, code=2)

    assert "running" in asyncio.run(while_it_runs())
    assert edgewise("store", "evict", url) == f"{name} removed\n"
    assert "InputError: a model of the store" in edgewise("store", "pin", name, code=2)
    assert asyncio.run(folder.list()) == []
    assert edgewise("store", "import", str(file)) == f"{name}: {url}\n"
    assert edgewise("store", "gc") == "0 objects and 0 documents removed\n"

    objects = (folder.root / "objects").glob("??/*")
    max(objects, key=lambda path: path.stat().st_size).write_bytes(b"wrong")
    told = edgewise("store", "verify")
    assert "1 damaged and dropped" in told
    assert told.endswith(f"models to be fetched again in part: {name}\n")
    assert "not whole" in edgewise("store", "ls")
    assert edgewise("chat", "hi", "--model", url, *asking) == first
    assert "not whole" not in edgewise("store", "ls")
