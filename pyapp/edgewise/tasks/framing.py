"""Texts as an encoder reads them: cut to its length, its special tokens around them.

The tokens around a text are learnt from the tokenizer by one trial, so that cutting takes the
text's own tokens from its end and never one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..errors import UnsupportedError
from ..host.base import Tokenizer

FREE_PADDING = 16  # tokens: less costs no more than another run
TRIAL = "a"  # every vocabulary has the letter


class Framing:
    """What `tokenizer` puts around a text, and at most `limit` tokens in all."""

    def __init__(self, tokenizer: Tokenizer, limit: int) -> None:
        self._tokenizer = tokenizer
        plain = tokenizer.encode(TRIAL)
        framed = tokenizer.encode(TRIAL, add_special_tokens=True)
        found = (at for at in range(len(framed)) if framed[at : at + len(plain)] == plain)
        at = next(found, None)
        if at is None:
            raise UnsupportedError("tokenizer", got=f"{framed} for {TRIAL!r} with special tokens",
                                   need=f"{plain} in it, as without them")  # fmt: skip
        self.before, self.after = framed[:at], framed[at + len(plain) :]
        self.room = max(limit - len(self.before) - len(self.after), 0)

    def ids(self, text: str) -> list[int]:
        """The token ids of a text."""
        return [*self.before, *self._tokenizer.encode(text)[: self.room], *self.after]


def batches(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Indices in batches of at most `most`, similar lengths together.

    No text is padded to more than FREE_PADDING tokens or twice its own.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and lengths[index] > max(2 * lengths[batch[0]], FREE_PADDING):
            yield batch
            batch = []
        batch.append(index)
        if len(batch) == most:
            yield batch
            batch = []
    if batch:
        yield batch
