"""Indices from their addresses, there without a network once they were read."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from ..errors import DownloadError, QuotaError
from ..host.base import Host
from .index import Index
from .merge import Conflict, merge


async def load_index(host: Host, urls: Sequence[str]) -> tuple[Index, tuple[Conflict, ...]]:
    """The indices at `urls` as one, and what later ones say against earlier ones.

    Raises DownloadError for one that can be had neither from the network nor from the store, where
    it is kept as `index <url>`; FormatError for one that is none.
    """
    return merge([(url, await _load(host, url)) for url in urls])


async def _load(host: Host, url: str) -> Index:
    name = f"index {url}"
    try:
        text = await host.fetch_text(url)
    except DownloadError:
        kept = await host.store.get_text(name)
        if kept is None:
            raise
        return Index.from_json(kept, url)
    index = Index.from_json(text, url)
    with suppress(QuotaError):  # a full disk costs the visit without a network, not this one
        await host.store.put_text(name, text)
    return index
