"""The models that a browser has by itself, behind four interfaces of the W3C's drafts.

Which model is behind one is the browser's affair: it may have to download it first, once for all
sites, and does so on a person's click only. Sources: the Prompt API, the Translator and Language
Detector APIs, the Writing Assistance APIs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Literal, Protocol, get_args

from ..errors import NoDeviceError

Interface = Literal["LanguageModel", "Translator", "Summarizer", "LanguageDetector"]
INTERFACES: tuple[Interface, ...] = get_args(Interface)

#: "downloadable" and "downloading": once `open` is called, and after the download.
Availability = Literal["unavailable", "downloadable", "downloading", "available"]
AVAILABILITIES: tuple[Availability, ...] = get_args(Availability)

Prompt = str | Sequence[Mapping[str, str]]


class Builtin(Protocol):
    """A model of the browser that was opened. Close it: the browser then frees its memory."""

    async def run(self, given: Prompt) -> str:
        """The answer, translation or summary of a text; a LanguageModel takes messages as well.

        Raises ContextOverrunError for a text that is too long, HostError. Cancelling ends it.
        """
        ...

    def stream(self, given: Prompt) -> AsyncIterator[str]:
        """The same, piece by piece. Raises as `run`."""
        ...

    async def detect(self, text: str) -> list[tuple[str | None, float]]:
        """Of a LanguageDetector: likely languages of a text, None being the unknown one, each
        with its probability, the likeliest first. Raises as `run`."""
        ...

    async def close(self) -> None:
        """Destroy it; what runs on it ends."""
        ...


class Builtins(Protocol):
    """Which of them are there, and how to open one.

    `options` are those of the interface's `create`, such as {"sourceLanguage": "en",
    "targetLanguage": "ja"} of a Translator.
    """

    async def availability(
        self, interface: Interface, options: Mapping[str, object]
    ) -> Availability:
        """ "unavailable" too where the interface is missing. Raises nothing but HostError."""
        ...

    async def open(
        self,
        interface: Interface,
        options: Mapping[str, object],
        on_progress: Callable[[float], None] = lambda share: None,
    ) -> Builtin:
        """Have the browser get the model ready.

        on_progress  called with the share of a download that is there, from 0 to 1.

        Raises NoDeviceError where the interface is missing, UnsupportedError where the browser
        cannot do it so, DownloadError, and HostError, among other things where it wants a
        person's click first. Cancelling ends it.
        """
        ...


class NoBuiltins:
    """A machine without a browser."""

    async def availability(
        self, interface: Interface, options: Mapping[str, object]
    ) -> Availability:
        """None is there."""
        return "unavailable"

    async def open(
        self,
        interface: Interface,
        options: Mapping[str, object],
        on_progress: Callable[[float], None] = lambda share: None,
    ) -> Builtin:
        """Raises NoDeviceError."""
        raise NoDeviceError(
            f"no {interface} here",
            got="a machine without a browser",
            need="a browser that has it",
            fix="use a model from an index",
        )
