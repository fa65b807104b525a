"""Where a model's files may come from: each one's address, then its mirrors. Policy only.

The first is asked until it fails for good or sends wrong bytes: then it is dropped, for this
download, and the next one goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import DownloadError, EdgewiseError, HashMismatchError


class Sources:
    """By a file's address, the addresses that are left to ask for it.

    dropped  a sentence on each that is asked no more.
    """

    def __init__(self, files: Mapping[str, Sequence[str]]) -> None:
        self._left = {url: list(dict.fromkeys(urls)) for url, urls in files.items()}
        self.dropped: tuple[str, ...] = ()

    def of(self, url: str) -> str:
        """Whom to ask for the file at `url`."""
        return self._left[url][0] if url in self._left else url

    def is_last(self, url: str, source: str) -> bool:
        """Whether nobody is left besides this one."""
        return self._left.get(url, [source]) == [source]

    def drop(self, url: str, source: str, error: EdgewiseError) -> bool:
        """Asks `source` no more; whether another one is there to go on with.

        The error of the last one gets notes that name the others.
        """
        if not isinstance(error, DownloadError | HashMismatchError):
            return False
        if self.is_last(url, source):
            for sentence in self.dropped:
                error.add_note(sentence)
            return False
        left = self._left[url]
        if source in left:  # else another request did it
            left.remove(source)
            self.dropped += (f"{source} is asked no more: {_why(error)}.",)
        return True


def _why(error: EdgewiseError) -> str:
    wrong = isinstance(error, HashMismatchError)
    return f"it sends wrong bytes ({error.where})" if wrong else str(error.got or error.what)
