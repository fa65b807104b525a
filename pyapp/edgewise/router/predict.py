"""How fast a model would be on a device: the device's measured rates, the model's demands.

Pure. A typical answer has PROMPT tokens to read and ANSWER to make; the best device is the one
where it is predicted to end first. The attention over the past is not counted: at such lengths it
is a few percent of a token.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..hub.words import figure, seconds

PROMPT, ANSWER = 64, 128


@dataclass(frozen=True, slots=True)
class Rates:
    """What a device was measured to do, in the kernels that a language model spends its time in.

    nbytes     bytes of weights a second, read to decode one token
    madds      multiply-adds a second, when many tokens are read at once
    loaded     bytes of weights a second that are brought to the device and repacked
    """

    nbytes: float
    madds: float
    loaded: float


@dataclass(frozen=True, slots=True)
class Work:
    """What a token costs: bytes of weights to decode it, multiply-adds, and all weights once."""

    nbytes: int
    madds: int
    weights: int


@dataclass(frozen=True, slots=True)
class Prediction:
    """Of a typical answer, from the moment that the weights are in the store."""

    tokens_per_s: float
    first_token_s: float

    @property
    def answer_s(self) -> float:
        """When the answer ends."""
        return self.first_token_s + (ANSWER - 1) / self.tokens_per_s

    def __str__(self) -> str:
        return (
            f"{figure(self.tokens_per_s)} tokens/s, the first after {seconds(self.first_token_s)}"
        )


def predict(rates: Rates, work: Work) -> Prediction:
    """The prediction for a model on a device."""
    token_s = work.nbytes / rates.nbytes
    load_s = work.weights / rates.loaded
    read_s = max(PROMPT * work.madds / rates.madds, token_s)
    return Prediction(1 / token_s, load_s + read_s)
