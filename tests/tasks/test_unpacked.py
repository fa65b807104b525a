"""Models opened by the address of their file on a model hub: known files are not fetched again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from e2e.model_hub import ModelHub
from e2e.server import SiteServer
from edgewise.errors import DownloadError, FormatError, InputError, UnsupportedError
from edgewise.host.cpython import CPythonHost
from edgewise.store.manifest import Manifest
from edgewise.store.pack import pack
from edgewise.tasks.chat import Chat
from edgewise.tasks.embed import embed
from tests.importers.tiny_bert import TinyBert
from tests.store.models import digest
from tests.tiny_chat import TinyChat, make

HELLO = {"role": "user", "content": "hello"}
N = 4


@pytest.fixture
def hub(tiny: TinyChat, tmp_path: Path) -> Iterator[ModelHub]:
    """Two repositories have the same file under other names."""
    (tmp_path / "network").mkdir()
    data = (tiny.manifest.parent / "tiny.gguf").read_bytes()
    with ModelHub(tmp_path / "network") as running:
        running.add("org/first", {"tiny.gguf": data}, {"README.md": b"# Tiny"})
        running.add("other/second", {"renamed.gguf": data}, revisions=("main", "v2"))
        running.add("org/many", {"a.gguf": data, "b.gguf": data})
        yield running


@pytest.fixture
def host(tmp_path: Path) -> CPythonHost:
    return CPythonHost(tmp_path / "store")


def first(hub: ModelHub) -> str:
    return f"{hub.url}/org/first/resolve/main/tiny.gguf"


def second(hub: ModelHub) -> str:
    return f"{hub.url}/other/second/resolve/v2/renamed.gguf"


def answer(host: CPythonHost, address: str) -> list[int]:
    async def go() -> list[int]:
        chat = await Chat.open(host, address, policy="local", target="reference")
        ids: list[int] = []
        async for piece in chat.stream([HELLO], max_new_tokens=N):
            ids += piece.token_ids
        await chat.close()
        return ids

    return asyncio.run(go())


def header_nbytes(tiny: TinyChat) -> int:
    tensors = Manifest.from_json(tiny.manifest.read_text()).tensors
    return min(tensor.offset for tensor in tensors.values())


def kept(host: CPythonHost, address: str) -> Manifest:
    text = asyncio.run(host.store.get_text(f"manifest {address}"))
    assert text is not None
    return Manifest.from_json(text)


def test_another_address_of_the_same_file_costs_its_header(
    hub: ModelHub, host: CPythonHost, tiny: TinyChat
) -> None:
    wanted = tiny.greedy(tiny.prompt(HELLO), N)
    assert answer(host, first(hub)) == wanted
    assert hub.sent() > sum(t.nbytes for t in kept(host, first(hub)).tensors.values())
    hub.network.log.clear()
    assert answer(host, second(hub)) == wanted
    assert hub.sent() == header_nbytes(tiny)
    assert kept(host, second(hub)).file.sha256 == kept(host, first(hub)).file.sha256
    # and from then on nothing at all
    hub.network.log.clear()
    assert answer(host, second(hub)) == answer(host, first(hub)) == wanted
    assert hub.sent() == 0


def test_a_file_of_a_pack_is_found(
    hub: ModelHub, host: CPythonHost, tiny: TinyChat, tmp_path: Path
) -> None:
    with SiteServer(tiny.manifest.parent) as site:
        wanted = answer(host, f"{site.url}/{tiny.manifest.name}")
    assert answer(host, first(hub)) == wanted
    assert hub.sent() == header_nbytes(tiny)


def test_what_was_stored_half_is_not_taken_for_the_whole(
    hub: ModelHub, host: CPythonHost, tiny: TinyChat
) -> None:
    wanted = answer(host, first(hub))
    victim = asyncio.run(host.store.list())[0]
    asyncio.run(host.store.remove(victim))
    hub.network.log.clear()
    assert answer(host, second(hub)) == wanted
    assert hub.sent() > header_nbytes(tiny)


def test_a_manifest_that_lies_about_a_file_poisons_nothing(
    hub: ModelHub, host: CPythonHost, tiny: TinyChat, tmp_path: Path
) -> None:
    """It names the file that the hub has, and objects with other bytes."""
    wanted = tiny.greedy(tiny.prompt(HELLO), N)
    site = tmp_path / "site"
    site.mkdir()
    data = bytearray((tiny.manifest.parent / "tiny.gguf").read_bytes())
    document = json.loads(tiny.manifest.read_text())
    for index, (_, nbytes) in enumerate(document["segments"]):
        start = sum(each for _, each in document["segments"][:index])
        if start >= header_nbytes(tiny) and nbytes > 4000:
            data[start + 100 : start + 200] = bytes(100)
            document["segments"][index][0] = digest(bytes(data[start : start + nbytes]))
    (site / "tiny.gguf").write_bytes(data)
    (site / "lie.manifest.json").write_text(json.dumps(document))
    (site / "tiny.tokenizer.json").write_bytes(
        (tiny.manifest.parent / "tiny.tokenizer.json").read_bytes()
    )
    with SiteServer(site) as server:
        assert answer(host, f"{server.url}/lie.manifest.json") != wanted
    assert answer(host, first(hub)) == wanted
    assert hub.sent() > len(data)


def test_a_repository_of_one_model(hub: ModelHub, host: CPythonHost, tiny: TinyChat) -> None:
    assert answer(host, f"{hub.url}/org/first/resolve/main/") == answer(host, first(hub))
    with pytest.raises(InputError, match=r"a\.gguf, b\.gguf"):
        answer(host, f"{hub.url}/org/many/resolve/main/")


def test_without_a_network_and_when_the_hub_refuses(
    hub: ModelHub, host: CPythonHost, tiny: TinyChat, tmp_path: Path
) -> None:
    wanted = answer(host, first(hub))
    hub.repositories["org/first"].gated = True
    assert answer(host, first(hub)) == wanted, "what is here needs nobody's leave"
    with pytest.raises(DownloadError, match="accept its terms"):
        answer(CPythonHost(tmp_path / "another"), first(hub))
    hub.network.offline = True
    hub.repositories.clear()
    assert answer(host, first(hub)) == wanted


def test_a_file_that_changed_is_another_one(
    hub: ModelHub, host: CPythonHost, tiny: TinyChat, tmp_path: Path
) -> None:
    answer(host, first(hub))
    other = make(tmp_path / "other", seed=6)
    data = (tmp_path / "other" / "tiny.gguf").read_bytes()
    hub.add("org/first", {"tiny.gguf": data})
    assert answer(host, first(hub)) == other.greedy(other.prompt(HELLO), N)


def test_a_manifest_on_a_hub(hub: ModelHub, host: CPythonHost, tiny: TinyChat) -> None:
    files: dict[str, Any] = {
        path.name: path.read_bytes() for path in tiny.manifest.parent.iterdir()
    }
    weights = {"tiny.gguf": files.pop("tiny.gguf")}
    hub.add("org/packed", weights, files)
    address = f"{hub.url}/org/packed/resolve/main/{tiny.manifest.name}?download=true"
    assert answer(host, address) == tiny.greedy(tiny.prompt(HELLO), N)


BERT = TinyBert(vocab=300, hidden=96, layers=2, ffn=192)


def repository(hub: ModelHub, name: str, folder: Path, *, large: str = "model.safetensors") -> str:
    """A folder on the hub; its address."""
    files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")
             if p.is_file()}  # fmt: skip
    hub.add(name, {large: files.pop(large)} if large in files else {}, files)
    return f"{hub.url}/{name}/resolve/main/"


def vectors(host: CPythonHost, address: str) -> Any:
    return asyncio.run(embed(["the cat sat"], model=address, target="reference", host=host))


def test_an_encoders_repository(hub: ModelHub, host: CPythonHost, tmp_path: Path) -> None:
    folder = BERT.write(tmp_path / "tiny", "float16")
    wanted = vectors(CPythonHost(tmp_path / "packed"), str(pack(folder, tmp_path / "out")))
    address = repository(hub, "org/Tiny.Bert", folder)
    np.testing.assert_array_equal(vectors(host, address), wanted)
    whole = sum(tensor.nbytes for tensor in kept(host, address).tensors.values())
    assert hub.sent() >= whole
    assert kept(host, address).name == "tiny.bert"
    # the same weights under another name, with other documents: their header alone
    (folder / "README.md").write_text("another card")
    other = repository(hub, "org/copy", folder)
    for name in (other, f"{other}model.safetensors", address):
        hub.network.log.clear()
        np.testing.assert_array_equal(vectors(host, name), wanted)
        assert 0 < hub.sent() < 0.05 * whole
        assert hub.sent() == min(t.offset for t in kept(host, name).tensors.values())


def test_repositories_that_are_no_model(hub: ModelHub, host: CPythonHost, tmp_path: Path) -> None:
    folder = BERT.write(tmp_path / "tiny")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(FormatError, match=r"tokenizer\.json"):
        vectors(host, repository(hub, "org/mute", folder))
    (folder / "config.json").write_text(" " * (1 << 20) + "{}")
    with pytest.raises(UnsupportedError, match="1048578 bytes"):
        vectors(host, repository(hub, "org/long", folder))
    hub.add("org/pickle", {"pytorch_model.bin": b"x"})
    with pytest.raises(InputError, match="no weights"):
        vectors(host, f"{hub.url}/org/pickle/resolve/main/")
    assert hub.sent() == 0
