"""Mirrors of a file, over HTTP: one that fails or lies is left for the next, and named."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from e2e.server import SiteServer
from edgewise.errors import DownloadError, FormatError, HashMismatchError
from edgewise.store.download import Retry, download
from edgewise.store.folder import Folder
from edgewise.store.manifest import Manifest
from edgewise.store.progress import Progress
from tests.store.models import manifest_of, random_bytes

SIZES = [60_000, 5_000, 90_000, 7_000, 120_000, 8_000]
DATA = random_bytes(sum(SIZES))
MODEL = manifest_of(DATA, SIZES)
PATH = "/model.gguf"


async def at_once(seconds: float) -> None:
    """Stands in for waiting."""


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[list[SiteServer]]:
    """Three hosts of the same file."""
    with ExitStack() as stack:
        found = []
        for name in ("a", "b", "c"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "model.gguf").write_bytes(DATA)
            found.append(stack.enter_context(SiteServer(tmp_path / name)))
        yield found


def mirrored(hosts: list[SiteServer]) -> Manifest:
    mirrors = tuple(f"{host.url}{PATH}" for host in hosts[1:])
    return replace(MODEL, file=replace(MODEL.file, mirrors=mirrors))


def fetch(folder: Folder, hosts: list[SiteServer]) -> list[Progress]:
    seen: list[Progress] = []
    work = download(folder, mirrored(hosts), f"{hosts[0].url}/tiny.manifest.json",
                    retry=Retry(sleep=at_once), on_progress=seen.append)  # fmt: skip
    asyncio.run(work)
    assert all(folder.get(segment.hash or "") for segment in MODEL.segments)
    return seen


def test_the_first_that_works_serves_all(tmp_path: Path, hosts: list[SiteServer]) -> None:
    seen = fetch(Folder(tmp_path), hosts)
    assert [host.sent(PATH) for host in hosts] == [len(DATA), 0, 0]
    assert seen[-1].dropped == ()


def test_a_host_that_is_gone(tmp_path: Path, hosts: list[SiteServer]) -> None:
    hosts[0].offline = True
    seen = fetch(Folder(tmp_path), hosts)
    assert [host.sent(PATH) for host in hosts] == [0, len(DATA), 0]
    (sentence,) = seen[-1].dropped
    assert sentence.startswith(f"{hosts[0].url}{PATH} is asked no more: RemoteProtocolError")


def test_a_host_that_goes_in_the_middle(tmp_path: Path, hosts: list[SiteServer]) -> None:
    hosts[0].cut(PATH, 160_000, once=False)
    hosts[1].cut(PATH, 240_000, once=False)
    seen = fetch(Folder(tmp_path), hosts)
    assert len(seen[-1].dropped) == 2
    assert all(host.sent(PATH) for host in hosts)
    partial = 3 * 120_000  # of a segment, asked twice of the first two and then of the next
    assert sum(host.sent(PATH) for host in hosts) <= len(DATA) + partial


def test_wrong_bytes_are_not_taken(tmp_path: Path, hosts: list[SiteServer]) -> None:
    wrong = bytearray(DATA)
    wrong[70_000] ^= 1
    (hosts[0].root / "model.gguf").write_bytes(wrong)
    (hosts[1].root / "model.gguf").write_bytes(random_bytes(len(DATA), seed=9))
    seen = fetch(Folder(tmp_path), hosts)
    assert len(seen[-1].dropped) == 2
    for host, sentence in zip(hosts, seen[-1].dropped, strict=False):
        assert sentence.startswith(f"{host.url}{PATH} is asked no more: it sends wrong bytes (")


def test_another_file_at_a_mirror(tmp_path: Path, hosts: list[SiteServer]) -> None:
    (hosts[0].root / "model.gguf").unlink()
    (hosts[1].root / "model.gguf").write_bytes(DATA[:1000])
    seen = fetch(Folder(tmp_path), hosts)
    why = [sentence.partition(": ")[2] for sentence in seen[-1].dropped]
    assert why[0] == "HTTP 404."
    assert why[1].startswith(("HTTP 416", "content-range"))


def test_when_all_fail_all_are_named(tmp_path: Path, hosts: list[SiteServer]) -> None:
    for host in hosts[:2]:
        host.offline = True
    (hosts[2].root / "model.gguf").write_bytes(DATA[:-1] + b"?" if DATA[-1:] != b"?" else b"!")
    with pytest.raises(HashMismatchError) as refused:
        fetch(Folder(tmp_path), hosts)
    assert (refused.value.where or "").startswith(hosts[2].url)
    assert [note.partition(PATH)[0] for note in refused.value.__notes__] == [
        host.url for host in hosts[:2]
    ]
    hosts[2].offline = True
    with pytest.raises(DownloadError, match="RemoteProtocolError"):
        fetch(Folder(tmp_path), hosts)


def test_mirrors_in_a_manifest() -> None:
    text = replace(MODEL, file=replace(MODEL.file, mirrors=("b/m.gguf", "https://c/m"))).to_json()
    found = Manifest.from_json(text)
    assert found.file.mirrors == ("b/m.gguf", "https://c/m")
    assert found.at("https://a/x.json").file.mirrors == ("https://a/b/m.gguf", "https://c/m")
    assert '"mirrors"' not in MODEL.to_json(), "what is packed without stays byte for byte"


@pytest.mark.parametrize(
    "mirrors",
    ['"https://c/m"', "[1]", '[""]', '["javascript:0"]', str(["m"] * 17).replace("'", '"')],
)
def test_mirrors_that_are_none(mirrors: str) -> None:
    text = replace(MODEL, file=replace(MODEL.file, mirrors=("M",))).to_json()
    with pytest.raises(FormatError, match="mirrors"):
        Manifest.from_json(text.replace('["M"]', mirrors))
