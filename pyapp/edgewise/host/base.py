"""What Edgewise asks of a machine: a device, a store, text over HTTP, a tokenizer, a clock.

Everything above this layer gets a `Host` passed in and knows no other door to the world, so it
runs the same in a page's worker and in a process. Waiting is async on both. The bytes of a stored
weight file do not pass through these protocols: a device takes them from the store by itself.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, TypeVar

from ..store.base import ObjectStore, Segment
from ..store.huggingface import Head
from ..store.progress import Progress
from ..store.share import Ladder
from ..targets.device import DeviceFacts
from .builtins import Builtins

T = TypeVar("T")
Target = Literal["webgpu", "wasm", "reference", "webnn"]


@dataclass(frozen=True, slots=True)
class WeightFile:
    """The file that a plan's weights are byte ranges of: the segments that it consists of, in
    order. All of them are in the host's store under their hashes when a plan is loaded.

    tail  bytes that follow the file's: what was computed from it, such as folded constants.
    """

    segments: tuple[Segment, ...]
    tail: bytes = b""


@dataclass(frozen=True, slots=True)
class WeightBytes:
    """Weights in memory: a graph built by hand, a file that was opened from its bytes."""

    data: bytes
    segments: ClassVar[tuple[Segment, ...]] = ()

    @property
    def tail(self) -> bytes:
        """All of it: see `WeightFile`."""
        return self.data


Weights = WeightFile | WeightBytes


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """One run of the decode loop.

    tokens          what is to be read: the prompt's tokens that are not yet in the state.
    past            how many tokens the state holds already.
    max_new_tokens  the loop ends after this many, or with one of `stop_ids`.
    uniforms        a random number in [0, 1) for each new token, for sampling.
    batch           new tokens handed over at a time.
    in_flight       decode steps submitted ahead of the last token that was read.
    """

    tokens: tuple[int, ...]
    past: int
    max_new_tokens: int
    stop_ids: frozenset[int]
    uniforms: tuple[float, ...]
    batch: int
    in_flight: int


def reading(n_tokens: int) -> str:
    """The program that reads so many tokens: one is read as fast as it is made."""
    return "decode" if n_tokens == 1 else "prefill"


class Tokenizer(Protocol):
    """Text to token ids and back, as the model's tokenizer.json says."""

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        """The ids of `text`, whole and without padding; special tokens in it are recognised.

        add_special_tokens  put those around it that the model was trained with.
        """
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`, special tokens left out; bytes that are no character are U+FFFD."""
        ...


class Executable(Protocol):
    """One plan, loaded on one device. After DeviceLostError it is dead: load a new one."""

    @property
    def nbytes(self) -> int:
        """Device memory that it holds now, as the sizes of the buffers say that were made.

        What several share counts as the oldest's, so that a sum over all is what is held.
        """
        ...

    @property
    def peak_nbytes(self) -> int:
        """The most device memory that it held at once: while its weights were loaded."""
        ...

    async def write(self, name: str, data: bytes) -> None:
        """Set an input or a state by its public name."""
        ...

    async def read(self, name: str, nbytes: int | None = None) -> bytes:
        """The bytes of an output or a state by its public name.

        nbytes  how many of them are wanted; all that there may be at the symbols' bounds unless
                given. A device may give more.
        """
        ...

    async def clear(self, name: str) -> None:
        """Zero a state."""
        ...

    async def run(self, program: str, bindings: Mapping[str, int]) -> None:
        """Run one program with these values for its symbols."""
        ...

    def generate(self, request: GenerateRequest) -> AsyncGenerator[list[int], None]:
        """Read and decode; yields batches of new ids, a stop id being the last if it came.

        Closing it ends the steps in flight; the next one may begin when it is closed.
        """
        ...

    def cancel(self) -> None:
        """The running `generate` ends after the steps in flight."""
        ...

    async def close(self) -> None:
        """Free the device memory."""
        ...


class Device(Protocol):
    """A device that was opened."""

    @property
    def facts(self) -> DeviceFacts:
        """What it says of itself."""
        ...

    async def load(
        self,
        plan: str,
        weights: Weights,
        on_progress: Callable[[int, int], None],
        share: Sequence[Executable] = (),
    ) -> Executable:
        """Make a plan (JSON) runnable: buffers, pipelines, weights from the store or memory.

        on_progress  called with (bytes on the device, bytes of all weights that are brought).
        share        plans of the same weights that this device has loaded: what they hold is not
                     brought again. It stays until the last one that uses it is closed.

        Raises StoreError for an object that is gone or fails its hash, HostError.
        """
        ...

    async def close(self) -> None:
        """Give the device back; what was loaded on it is gone."""
        ...


class Host(Protocol):
    """One machine. Raises only errors of `edgewise.errors`."""

    @property
    def name(self) -> str:
        """ "browser" or "cpython"."""
        ...

    @property
    def store(self) -> ObjectStore:
        """Where this machine keeps objects and documents."""
        ...

    @property
    def builtins(self) -> Builtins:
        """The models that this machine's browser has by itself."""
        ...

    @property
    def ladder(self) -> Ladder:
        """Who else may have a file, and may want it."""
        ...

    async def open_device(self, target: Target | None = None) -> Device:
        """The device that runs plans for `target`, or the best one here.

        Raises NoDeviceError where there is none.
        """
        ...

    def wait(self, work: Coroutine[Any, Any, T], instead: str) -> T:
        """Run `work` to its end, for callers that are not async.

        Raises HostError, naming `instead`, the awaitable variant, where nothing can be waited for.
        """
        ...

    async def fetch_text(self, url: str) -> str:
        """A small document. Raises DownloadError."""
        ...

    async def fetch_range(self, url: str, offset: int, nbytes: int) -> tuple[bytes, int]:
        """At most `nbytes` bytes of a file from `offset` on, and the whole file's size.

        For headers only. Raises DownloadError, also for a server without Range.
        """
        ...

    async def digest(self, pieces: Sequence[str | bytes]) -> str:
        """The SHA-256 of bytes and of the store's objects, named by their hashes, in this order.

        Raises StoreError for an object that is not there. Memory: one piece.
        """
        ...

    async def fetch_head(self, url: str) -> Head:
        """What a server says of a file, whatever the status. Raises DownloadError for silence.

        Redirects are followed until an answer names the file's content (`x-linked-etag`), where
        this machine can read theirs; a page reads the last answer alone.
        """
        ...

    def stream_lines(
        self, url: str, body: Mapping[str, object], headers: Mapping[str, str]
    ) -> AsyncIterator[str]:
        """POST `body` as JSON; the answer's lines as they arrive, without their ends.

        Raises ServerError for a server that cannot be reached, that answers with another
        status than 200 (with its message), or that stops in the middle.
        """
        ...

    async def load_package(
        self, name: str, on_progress: Callable[[Progress], None] | None = None
    ) -> None:
        """Make a Python package importable that Edgewise starts without, such as `onnx`.

        A page fetches it now, and keeps it in its store. Raises HostError where it cannot be had,
        StoreError where its bytes cannot.
        """
        ...

    def tokenizer(self, tokenizer_json: str) -> Tokenizer:
        """A tokenizer.json made usable. Raises FormatError."""
        ...

    def render(
        self, template: str, messages: Sequence[Mapping[str, str]], *, bos: str, eos: str
    ) -> str:
        """A chat template's prompt for `messages`, ending where the answer begins.

        Raises FormatError for a bad template, InputError for messages that it refuses.
        """
        ...

    def clock(self) -> float:
        """Milliseconds that only grow."""
        ...
