"""A manifest made of the header of a file that is somewhere else.

Hashes are learnt while the file is downloaded. Where a hub says its SHA-256, a manifest in the
store that names such a file saves the download: its objects are digested in order, behind the
header, and believed if that gives the SHA-256.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..errors import EdgewiseError, NeedMoreBytes
from ..host.base import Host
from ..store.huggingface import Remote
from ..store.known import Known, find, part
from ..store.manifest import Manifest

#: From the file's beginning and size to its manifest; raises NeedMoreBytes for a longer one.
Make = Callable[[bytes, int], Manifest]


async def manifest_of(
    host: Host, remote: Remote, make: Make, nbytes: int, before: Manifest | None
) -> Manifest:
    """The manifest of the file `remote`; `nbytes` are read of it, or more if that is too few.

    before  what was made of this address the last time: needs no digest if the SHA-256 is the same.

    Raises DownloadError, and as `make`.
    """
    if remote.sha256 is not None:
        same = before is not None and before.file.sha256 == remote.sha256
        known = part(before, 0) if before and same else await find(host.store, remote.sha256)
        found = known and await _from_known(host, remote, make, known, proven=same)
        if found:
            return found
    while True:
        prefix, file_nbytes = await host.fetch_range(remote.url, 0, nbytes)
        try:
            return make(prefix, file_nbytes)
        except NeedMoreBytes:
            nbytes *= 2
        except EdgewiseError as error:
            error.add_note(f"in the file {remote.url}")
            raise


async def _from_known(
    host: Host, remote: Remote, make: Make, known: Known, *, proven: bool
) -> Manifest | None:
    """The manifest with the hashes that are known, or None where they are not this file's."""
    header, file_nbytes = await host.fetch_range(remote.url, 0, known.header_nbytes)
    try:
        manifest = make(header, file_nbytes)
    except EdgewiseError:  # it ends elsewhere: the known file is another one
        return None
    if [each.nbytes for each in manifest.segments] != [each.nbytes for each in known.segments]:
        return None
    if not proven and await host.digest([header, *_rest(known)]) != remote.sha256:
        return None
    return manifest.with_hashes(
        [each.hash if i in known.tensors else None for i, each in enumerate(known.segments)]
    )


def _rest(known: Known) -> Sequence[str | bytes]:
    """What follows the header: objects by hash, and between them the zeros of padding."""
    pieces: list[str | bytes] = []
    start = 0
    for index, segment in enumerate(known.segments):
        hash = segment.hash if index in known.tensors else None
        if start >= known.header_nbytes:
            pieces.append(hash or bytes(segment.nbytes))
        start += segment.nbytes
    return pieces
