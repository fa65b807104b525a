"""Addresses on a model hub, held against a host that answers as one does."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from e2e.model_hub import ModelHub
from edgewise.errors import DownloadError, FormatError, InputError
from edgewise.host.cpython import CPythonHost
from edgewise.store.huggingface import (
    Address,
    Head,
    Remote,
    list_files,
    parse_address,
    parse_pointer,
    resolve,
)

HUB = "https://huggingface.co"
DATA = bytes(range(256)) * 40
SHA256 = hashlib.sha256(DATA).hexdigest()
SMALL = b'{"model_type": "bert"}'


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[ModelHub]:
    root = tmp_path / "network"
    root.mkdir()
    with ModelHub(root) as running:
        running.add("org/name", {"a b/model.gguf": DATA}, {"config.json": SMALL},
                    revisions=("main", "v1", "refs/pr/1"))  # fmt: skip
        running.add("org/gated", {"model.gguf": DATA}, gated=True)
        yield running


@dataclass
class Page:
    """The machine of a page: it sees a redirect's end and none of its headers."""

    inner: CPythonHost
    asked: list[str] = field(default_factory=list)

    async def fetch_text(self, url: str) -> str:
        self.asked.append(url)
        return await self.inner.fetch_text(url)

    async def fetch_head(self, url: str) -> Head:
        self.asked.append(url)
        seen = await self.inner.fetch_head(url)
        if "x-linked-etag" not in seen.headers:
            return seen
        return await self.inner.fetch_head(seen.headers["location"])


@pytest.fixture(params=["process", "page"])
def web(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    host = CPythonHost(tmp_path / "store")
    return host if request.param == "process" else Page(host)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("hf://org/name/model.gguf", f"{HUB}/org/name/resolve/main/model.gguf"),
        ("hf://org/name@v1.0/onnx/model.onnx", f"{HUB}/org/name/resolve/v1.0/onnx/model.onnx"),
        ("hf://org/name@refs%2Fpr%2F1/a", f"{HUB}/org/name/resolve/refs%2Fpr%2F1/a"),
        ("https://huggingface.co/o/n/blob/main/m.gguf", f"{HUB}/o/n/resolve/main/m.gguf"),
        ("https://huggingface.co/o/n/raw/main/m.gguf", f"{HUB}/o/n/resolve/main/m.gguf"),
        ("https://hf.co/o/n/resolve/main/m.gguf?download=true", f"{HUB}/o/n/resolve/main/m.gguf"),
        ("https://mirror.test/o/n/resolve/v1/a%20b", "https://mirror.test/o/n/resolve/v1/a%20b"),
    ],
)
def test_one_file_has_one_address(given: str, url: str) -> None:
    found = parse_address(given)
    assert found is not None
    assert found.url == url
    assert parse_address(found.url) == found


@pytest.mark.parametrize(
    "given",
    ["hf://org/name", "hf://org/name@main/", f"{HUB}/org/name", f"{HUB}/org/name/tree/main"],
)
def test_a_repository(given: str) -> None:
    assert parse_address(given) == Address(HUB, "org/name", "main", "")


@pytest.mark.parametrize(
    "given",
    [
        "https://a.test/model.gguf", "models/x.manifest.json", "https://a.test/o/n/blob/main/m.gguf",
        f"{HUB}/datasets/o/n/resolve/main/x", f"{HUB}/docs", "file:///o/n/resolve/main/x",
    ],
)  # fmt: skip
def test_other_addresses_are_left_alone(given: str, tmp_path: Path) -> None:
    assert parse_address(given) is None
    assert asyncio.run(resolve(CPythonHost(tmp_path), given)) == Remote(given)


@pytest.mark.parametrize(
    "given", ["hf://name", "hf://", "hf://org/..", "hf://org/name/../x", "hf://o rg/name/x",
              f"{HUB}/o/n/resolve/main/a/%2e%2e/b"],
)  # fmt: skip
def test_addresses_of_nothing(given: str) -> None:
    with pytest.raises(InputError, match="hf://org/name"):
        parse_address(given)


def test_a_large_file_is_known_by_its_hash_before_a_byte_of_it_comes(
    hub: ModelHub, web: Any
) -> None:
    address = f"{hub.url}/org/name/resolve/main/a%20b/model.gguf"
    assert asyncio.run(resolve(web, address)) == Remote(address, SHA256, len(DATA))
    assert hub.sent() == 0
    assert len(hub.log) <= 2


def test_a_small_file_has_no_such_hash(hub: ModelHub, web: Any) -> None:
    address = f"{hub.url}/org/name/resolve/v1/config.json"
    assert asyncio.run(resolve(web, address)) == Remote(address, None, len(SMALL))


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("org/gated/resolve/main/model.gguf", r"GatedRepo(.|\n)*accept its terms"),
        ("org/name/resolve/v9/config.json", "RevisionNotFound.*revision 'v9'"),
        ("org/name/resolve/main/no.gguf", "EntryNotFound.*file 'no.gguf'"),
        ("org/nobody/resolve/main/model.gguf", "RepoNotFound.*'org/nobody' that is public"),
    ],
)
def test_what_the_hub_refuses(hub: ModelHub, web: Any, path: str, says: str) -> None:
    with pytest.raises(DownloadError, match=says):
        asyncio.run(resolve(web, f"{hub.url}/{path}"))


def test_no_hub(tmp_path: Path, web: Any) -> None:
    with ModelHub(tmp_path) as gone:
        pass
    with pytest.raises(DownloadError):
        asyncio.run(resolve(web, f"{gone.url}/org/name/resolve/main/model.gguf"))


def test_a_pointer_that_is_none(hub: ModelHub, tmp_path: Path) -> None:
    hub.repositories["org/name"].pointers["a b/model.gguf"] = "<html>"
    with pytest.raises(FormatError, match="'<html>'"):
        asyncio.run(
            resolve(Page(CPythonHost(tmp_path)), f"{hub.url}/org/name/resolve/main/a b/model.gguf")
        )


POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{SHA256}\nsize 12\n"


def test_pointers() -> None:
    assert parse_pointer(POINTER, "x") == (SHA256, 12)
    extended = POINTER.replace("oid", f"ext-0-foo sha256:{SHA256}\noid", 1)
    assert parse_pointer(extended, "x") == (SHA256, 12)


@pytest.mark.parametrize(
    "text",
    [
        "", POINTER[:-10], POINTER + "more", POINTER.replace("12", "-1"), POINTER.upper(),
        POINTER.replace("sha256:", "sha1:"), POINTER.replace(SHA256, SHA256[1:]), "GGUF\0\0",
    ],
)  # fmt: skip
def test_broken_pointers(text: str) -> None:
    with pytest.raises(FormatError, match="LFS pointer"):
        parse_pointer(text, "x")


def test_a_repositorys_files(hub: ModelHub, web: Any) -> None:
    base = f"{hub.url}/org/name/resolve"
    address = parse_address(f"{base}/refs%2Fpr%2F1/")
    assert address is not None
    found = asyncio.run(list_files(web, address))
    assert found == {
        "a b/model.gguf": Remote(f"{base}/refs%2Fpr%2F1/a%20b/model.gguf", SHA256, len(DATA)),
        "config.json": Remote(f"{base}/refs%2Fpr%2F1/config.json", None, len(SMALL)),
    }
    with pytest.raises(InputError, match="a repository"):
        asyncio.run(resolve(web, f"{base}/main/"))


def test_a_listing_of_nothing(hub: ModelHub, web: Any) -> None:
    for repository, revision, says in (
        ("org/gated", "main", "accept its terms"), ("org/name", "v9", "revision 'v9'"),
    ):  # fmt: skip
        with pytest.raises(DownloadError, match=says):
            asyncio.run(list_files(web, Address(hub.url, repository, revision, "")))
