"""Addresses of files on a model hub, and what they are before a byte of them is fetched.

    hf://org/name[@revision][/file]
    https://huggingface.co/org/name/(resolve|raw|blob)/revision/file
    https://any.mirror/org/name/resolve/revision/file

all mean a file of a Git repository. The hub names a large file by its SHA-256: in a header of its
redirect to the network that delivers it, which a page cannot read, and in the pointer that the
repository has in the file's place. Small files are in Git itself and have no such name.

Source: huggingface_hub `file_download.get_hf_file_metadata`, `HfApi.model_info` with its
`files_metadata`; Git LFS docs/spec.md, "The Pointer".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote, unquote, urlsplit

from ..errors import DownloadError, EdgewiseError, FormatError, InputError
from .document import parse as parse_json

ENDPOINT = "https://huggingface.co"
HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
SCHEME = "hf://"
_NAME = re.compile(r"[\w.-]+", re.ASCII)
_POINTER = re.compile(
    r"version https://git-lfs\.github\.com/spec/v1\n(?:ext-.*\n)*"
    r"oid sha256:([0-9a-f]{64})\nsize (\d{1,16})\n?"
)
_SHA256 = re.compile(r'(?:W/)?"?([0-9a-f]{64})"?')
_FORMS = "hf://org/name[@revision][/file]"


@dataclass(frozen=True, slots=True)
class Head:
    """What a server says of a file without sending it.

    url      where the answer is from: another one than asked for after a redirect.
    headers  names in lower case; those that this machine lets one read.
    """

    url: str
    status: int
    headers: Mapping[str, str]


class Web(Protocol):
    """What resolving asks of a machine; a `Host` is one."""

    async def fetch_text(self, url: str) -> str:
        """A small document. Raises DownloadError."""
        ...

    async def fetch_head(self, url: str) -> Head:
        """What a server says of a file, whatever the status. Raises DownloadError for silence."""
        ...


@dataclass(frozen=True, slots=True)
class Address:
    """A file in a repository, `path` "" being all of it."""

    endpoint: str
    repository: str
    revision: str
    path: str

    @property
    def url(self) -> str:
        """The canonical address of the file."""
        return self._place("resolve")

    @property
    def pointer(self) -> str:
        """Where the repository's own bytes are: for a large file its Git LFS pointer."""
        return self._place("raw")

    @property
    def listing(self) -> str:
        """Where the hub lists the files."""
        revision = quote(self.revision, safe="")
        return f"{self.endpoint}/api/models/{self.repository}/revision/{revision}?blobs=true"

    def __str__(self) -> str:
        return f"{self.repository}@{self.revision}" + (f"/{self.path}" if self.path else "")

    def _place(self, kind: str) -> str:
        revision, path = quote(self.revision, safe=""), quote(self.path)
        return f"{self.endpoint}/{self.repository}/{kind}/{revision}/{path}"


@dataclass(frozen=True, slots=True)
class Remote:
    """A file somewhere: its canonical address, its SHA-256 and bytes where the server says them."""

    url: str
    sha256: str | None = None
    nbytes: int | None = None


def parse_address(address: str) -> Address | None:
    """What an address means on a hub; None for one of another kind.

    Raises InputError for an `hf://` address that names no repository.
    """
    if address.startswith(SCHEME):
        endpoint, parts = ENDPOINT, address.removeprefix(SCHEME).rstrip("/").split("/")
        name, _, revision = parts[1].partition("@") if len(parts) > 1 else ("", "", "")
        parts = [parts[0], name, "resolve", revision or "main", *parts[2:]]
    else:
        url = urlsplit(address)
        if url.scheme not in ("http", "https"):
            return None
        known = url.hostname in HOSTS
        endpoint = ENDPOINT if known else f"{url.scheme}://{url.netloc}"
        parts = url.path.strip("/").split("/")
        if known and len(parts) == 2:
            parts += ["tree", "main"]
        kinds = ("resolve", "raw", "blob", "tree") if known else ("resolve",)
        if len(parts) < 4 or parts[2] not in kinds or parts[0] in ("api", "datasets", "spaces"):
            return None
    organisation, name, _, revision, *path = map(unquote, parts)
    names = (organisation, name)
    if not all(_NAME.fullmatch(each) for each in names) or {"", ".", ".."} & {*names, *path}:
        raise InputError("an address on a model hub", got=f"{address:.80}", need=_FORMS)
    return Address(endpoint, f"{organisation}/{name}", revision, "/".join(path))


async def resolve(web: Web, address: str) -> Remote:
    """The file at an address: by its canonical address, and by its SHA-256 where a hub tells it.

    At most two small requests, none for an address that is not a hub's.
    Raises   DownloadError for a model that is not open to everyone, a revision or a file that is
             not there, no network; FormatError for a pointer that is none; InputError as
             `parse_address`, and for the address of a repository.
    """
    found = parse_address(address)
    if found is None:
        return Remote(address)
    if not found.path:
        raise InputError("a file on a model hub", got=f"{address:.80}, a repository",
                         need=f"{_FORMS.replace('[/file]', '/file')}")  # fmt: skip
    try:
        head = await web.fetch_head(found.url)
    except DownloadError:  # or a page may not read what the delivering network says
        return await _by_pointer(web, found)
    linked = _SHA256.fullmatch(head.headers.get("x-linked-etag", ""))
    if linked is not None:
        return Remote(found.url, linked[1], _number(head.headers.get("x-linked-size")))
    if urlsplit(head.url).netloc != urlsplit(found.url).netloc:
        return await _by_pointer(web, found)
    if head.status != 200:
        raise refusal(found, head)
    return Remote(found.url, None, _number(head.headers.get("content-length")))


async def list_files(web: Web, address: Address) -> dict[str, Remote]:
    """All files of a repository by path, large ones with their SHA-256. Raises as `resolve`."""
    try:
        text = await web.fetch_text(address.listing)
    except DownloadError as error:
        head = await web.fetch_head(address.listing)
        raise (refusal(address, head) if head.status != 200 else error) from None
    try:
        return dict(_files(text, address))
    except FormatError as error:
        error.fix = "check that the address is a model hub's"
        raise


def refusal(address: Address, head: Head) -> EdgewiseError:
    """Why a hub does not give a file, in terms of what can be done about it."""
    code = head.headers.get("x-error-code", "")
    got = f"HTTP {head.status}" + (f" ({code})" if code else "")
    what, where = f"'{address}' on the model hub", address.url
    if code == "GatedRepo" or (head.status in (401, 403) and code != "RepoNotFound"):
        return DownloadError(what, got=got, need="a model that is open to everyone", where=where,
                             fix="accept its terms there and pack what you download")  # fmt: skip
    need, fix = {
        "RevisionNotFound": (f"a revision '{address.revision}'", "see its branches and tags"),
        "EntryNotFound": (f"a file '{address.path}'", "see its list of files"),
        "RepoNotFound": (f"a model '{address.repository}' that is public", "check its name"),
    }.get(code, ("200", "check the address"))
    return DownloadError(what, got=got, need=need, where=where, fix=fix)


def parse_pointer(text: str, where: str) -> tuple[str, int]:
    """SHA-256 and bytes that a Git LFS pointer names. Raises FormatError."""
    found = _POINTER.fullmatch(text)
    if found is None:
        raise FormatError("not a Git LFS pointer", got=repr(text[:60]), where=where,
                          need="version, oid sha256:… and size")  # fmt: skip
    return found[1], int(found[2])


async def _by_pointer(web: Web, address: Address) -> Remote:
    text = await web.fetch_text(address.pointer)
    return Remote(address.url, *parse_pointer(text, address.pointer))


def _files(text: str, address: Address) -> list[tuple[str, Remote]]:
    found = []
    for item in parse_json(text).field("siblings").items():
        path, large = item.field("rfilename").text(), item.field("lfs")
        file = Address(address.endpoint, address.repository, address.revision, path)
        sha256 = None if large.data is None else large.field("sha256").sha256()
        size = item.field("size")
        found.append(
            (path, Remote(file.url, sha256, None if size.data is None else size.integer()))
        )
    return found


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
