"""Text out of a stream of token ids, as early as it is certain.

A token may hold half a character and a stop string may span tokens, so both classes here hold
back the few characters that the next token could still change. Pure; knows tokenizers only as
the host protocol.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..host.base import Tokenizer

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"  # what a decoder gives for bytes that are no character


class IncrementalDecoder:
    """Token ids in, text out; the pieces join to what decoding all ids at once gives.

    Decodes a window that starts one settled piece back, as a decoder may treat the first token
    of a text specially (SentencePiece drops its space). An unfinished UTF-8 character decodes to
    one trailing U+FFFD, which is held back until the next token or `finish`.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._window: list[int] = []
        self._settled = 0  # ids of the window whose text was all given out by an earlier push
        self._sent = 0  # characters of the window's text that were given out

    def push(self, ids: Sequence[int]) -> str:
        """The text that `ids` add, less a character that is not complete yet."""
        self._window.extend(ids)
        text = self._tokenizer.decode(self._window)
        whole = text[:-1] if text.endswith(REPLACEMENT) else text
        piece = whole[self._sent :]
        self._sent = max(self._sent, len(whole))
        if piece and whole is text:
            self._slide()
        return piece

    def _slide(self) -> None:
        self._window = self._window[self._settled :]
        self._settled = len(self._window)
        self._sent = len(self._tokenizer.decode(self._window))

    def finish(self) -> str:
        """What was held back: the ids ended inside a character, or it is a real U+FFFD."""
        piece = self._tokenizer.decode(self._window)[self._sent :] if self._window else ""
        self._window, self._settled, self._sent = [], 0, 0
        return piece


class StopStrings:
    """Passes text on until one of `stops` appears; the stop itself is never given out."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""

    def push(self, text: str) -> tuple[str, bool]:
        """What may be shown now, and whether a stop was found (then nothing may follow)."""
        text = self._held + text
        found = [at for at in map(text.find, self._stops) if at >= 0]
        if found:
            self._held = ""
            return text[: min(found)], True
        keep = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], False

    def finish(self) -> str:
        """What was held back for a stop that never came."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """The longest end of `text` that begins `stop`: ("say sto", "stop") -> 3."""
    return next(
        (n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0
    )
