"""Which tokens a session's state holds, and with which weights of adapters each was read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TypeAlias

Weights: TypeAlias = tuple[float, ...]  # one for each adapter of the session


class Context:
    """The tokens whose keys and values the state holds, in order."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self._weights: list[Weights] = []

    def begin(self, weights: Weights) -> None:
        """A new answer: what was read with other weights is to be read again."""
        same = next((i for i, w in enumerate(self._weights) if w != weights), len(self.tokens))
        self._cut(same)

    def share(self, prompt: Sequence[int]) -> int:
        """How much of a prompt the state holds; it holds no more than that from now on."""
        pairs = enumerate(zip(self.tokens, prompt, strict=False))
        most = min(len(self.tokens), len(prompt))
        self._cut(next((i for i, (x, y) in pairs if x != y), most))
        return len(self.tokens)

    def grow(self, tokens: Sequence[int], weights: Weights) -> None:
        """The state holds `tokens`; those that are new were read with `weights`."""
        self._weights += [weights] * (len(tokens) - len(self.tokens))
        self.tokens = list(tokens)

    def earlier(self, weights: Weights) -> list[tuple[Weights, list[int]]]:
        """Runs of tokens with the weights of each, up to the last that had other ones."""
        last = max((i for i, w in enumerate(self._weights) if w != weights), default=-1) + 1
        pairs = zip(self._weights[:last], self.tokens[:last], strict=True)
        return [(w, [token for _, token in run]) for w, run in groupby(pairs, lambda p: p[0])]

    def _cut(self, length: int) -> None:
        del self.tokens[length:], self._weights[length:]
