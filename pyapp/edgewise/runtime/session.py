"""A session: one model's plan and weights on one device, its KV state, and the tokens in it.

`Session.open` checks the device, plans, downloads what is missing, and loads.
`generate` reads only what the state does not hold yet. A lost device costs time, no token: the
session rebuilds on a new one and replays.
"""

from __future__ import annotations

import random
import struct
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from .. import debug
from ..errors import (
    ContextOverrunError,
    DeviceLostError,
    EmptyPromptError,
    InputError,
    StoreError,
)
from ..host.base import Device, Executable, GenerateRequest, Host, Target, WeightFile
from ..importers.adapters import WEIGHTS
from ..store import progress as store_progress
from ..store.download import download
from ..store.manifest import Manifest
from ..targets.device import DeviceFacts
from .adapters import Adapted
from .context import Context, Weights
from .programs import Variant, plan_for
from .variant import Choice, Precision, choose


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a token is drawn; `temperature` 0 takes the likeliest. See the operator `sample`."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """Where opening stands: `stage` is "check" (the device), "compile", "share" (other places are
    asked for the file), "download" or "load".

    The last two count bytes done and in all, bytes a second, seconds left; the others are 0.
    """

    stage: str
    done: int
    total: int
    rate: float
    seconds_left: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """What a session found and decided; times in milliseconds."""

    facts: DeviceFacts
    variant: Variant
    reason: str
    rejected: tuple[tuple[str, str], ...]
    plan_ms: float
    plan_from_store: bool
    load_ms: float
    device_nbytes: int


class Session:
    """Open one with `Session.open`. One `generate` at a time."""

    def __init__(
        self,
        host: Host,
        model: Adapted,
        target: Target | None,
        max_context: int,
        device: Device,
        executable: Executable,
        plan: str,
        report: Report,
    ) -> None:
        self.report = report
        self._host, self._model, self._target = host, model, target
        self._max_context = max_context
        self._device, self._executable, self._plan = device, executable, plan
        self._context = Context()
        self._weights = model.weights(None)
        self._stopped = False

    @classmethod
    async def open(
        cls,
        host: Host,
        manifest: Manifest,
        *,
        target: Target | None = None,
        precision: Precision = "auto",
        max_context: int = 2048,
        adapters: Mapping[str, Manifest] | None = None,
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> Session:
        """Bring a model onto this machine's device for `target`, or its best one.

        URLs in manifests are absolute. `adapters` are those that `set_adapter` may name later: all
        of them are brought, none is in use. Without any, the plan is that of the model alone.

        Raises InputError for an adapter of another base; NoDeviceError, UnsupportedError, PlanError
        before any weight is downloaded; QuotaError, DownloadError, HashMismatchError,
        StoreError; DeviceLostError.
        """
        max_context = min(max_context, manifest.demands.context)
        model = Adapted(manifest, adapters or {})
        device = await host.open_device(target)
        try:
            on_progress(Progress("check", 0, 0, 0.0, None))
            choice = await choose(host.store, device, precision)
            on_progress(Progress("compile", 0, 0, 0.0, None))
            start = host.clock()
            made = await plan_for(
                host.store, model.manifest, device.facts, choice.variant, max_context,
                model.adapters,
            )  # fmt: skip
            plan_ms = host.clock() - start
            model = await _fetch_all(host, model, on_progress)
            start = host.clock()
            executable = await _load(host, model, device, made.plan, on_progress)
        except BaseException:
            await device.close()
            raise
        report = _report(device, choice, plan_ms, made.from_store, host.clock() - start, executable)
        debug.say(debug.TIMINGS, "session", str(report))
        return cls(host, model, target, max_context, device, executable, made.plan, report)

    def set_adapter(self, adapter: str | Mapping[str, float] | None) -> None:
        """Use an adapter, several with a weight each, or none, from the next token on.

        The base stays as it is: y = W x + Σ weight · scale · B (A x). In the middle of an answer,
        tokens that were read keep the keys and values that they got; the next answer reads anew
        what was read with another adapter.

        Raises InputError for a name that the session was not opened with.
        """
        self._weights = self._model.weights(adapter)

    async def generate(
        self,
        prompt: Sequence[int],
        *,
        max_new_tokens: int,
        stop_ids: Collection[int],
        sampling: Sampling,
    ) -> AsyncGenerator[list[int], None]:
        """New tokens after `prompt`, in batches; a stop token, if one came, is the last.

        Fewer than `max_new_tokens` come where the context ends.
        Raises EmptyPromptError, ContextOverrunError, InputError before anything runs, and
        DeviceLostError when the device is lost a second time.
        """
        room = self._check(prompt, max_new_tokens)
        count = min(max_new_tokens, room)
        uniforms = _uniforms(sampling, count)
        made: list[int] = []
        lost = self._stopped = False
        self._context.begin(self._weights)
        while True:
            weights = self._weights
            try:
                request = await self._request(
                    [*prompt, *made], uniforms[len(made) :], stop_ids, sampling
                )
                async with aclosing(self._executable.generate(request)) as batches:
                    async for batch in batches:
                        made += batch
                        # The last token was made, not read: its keys are not in the state.
                        self._context.grow([*prompt, *made[:-1]], weights)
                        yield batch
                        if self._weights != weights:
                            break  # the steps in flight had the old ones: the next are made anew
                    else:
                        return
            except DeviceLostError:
                if lost:
                    raise
                lost = True
                await self._rebuild()
            if self._stopped or len(made) == count or (made and made[-1] in stop_ids):
                return

    def cancel(self) -> None:
        """The running `generate` ends after the steps in flight."""
        self._stopped = True
        self._executable.cancel()

    async def close(self) -> None:
        """Free the device."""
        await self._executable.close()
        await self._device.close()

    def _check(self, prompt: Sequence[int], max_new_tokens: int) -> int:
        """Tokens that fit after the prompt."""
        vocab = int(str(self._model.base.config["vocab"]))
        if not prompt:
            raise EmptyPromptError("an empty prompt", need="at least one token")
        if max_new_tokens < 1:
            raise InputError("max_new_tokens", got=str(max_new_tokens), need="at least 1")
        if not all(0 <= token < vocab for token in prompt):
            raise InputError(
                "a prompt token", got=f"{min(prompt)} to {max(prompt)}", need=f"0 to {vocab - 1}"
            )
        if len(prompt) >= self._max_context:
            raise ContextOverrunError(
                "the conversation is too long",
                got=f"{len(prompt)} tokens",
                need=f"fewer than the {self._max_context} of this session",
                fix="start a new conversation, or shorten the question",
            )
        return self._max_context - len(prompt)

    async def _request(
        self,
        prompt: list[int],
        uniforms: tuple[float, ...],
        stop_ids: Collection[int],
        sampling: Sampling,
    ) -> GenerateRequest:
        """What the executor is to read and make, with the sampler's inputs written."""
        past = self._context.share(prompt[:-1])  # at least one token is read, for its logits
        await self._write_weights(self._weights)
        await self._executable.write(
            "settings",
            struct.pack(
                "<5f",
                sampling.temperature,
                sampling.top_k,
                sampling.top_p,
                sampling.repetition_penalty,
                0.0,
            ),
        )
        if sampling.repetition_penalty != 1.0:
            await self._executable.write("seen", self._seen(prompt))
        # On a CPU a step takes long: hand over each token, and waste no step after the last.
        slow = self._device.facts.fallback or self._device.facts.target == "wasm"
        return GenerateRequest(
            tokens=tuple(prompt[past:]),
            past=past,
            max_new_tokens=len(uniforms),
            stop_ids=frozenset(stop_ids),
            uniforms=uniforms,
            batch=1 if slow else 8,
            in_flight=16 if not slow else 0 if self._weights else 1,  # a swap wastes what flies
        )

    async def _write_weights(self, weights: Weights) -> None:
        if weights:
            await self._executable.write(WEIGHTS, struct.pack(f"<{len(weights)}f", *weights))

    def _seen(self, tokens: Sequence[int]) -> bytes:
        """The sampler's state: a one for each token that occurred."""
        flags = bytearray(4 * int(str(self._model.base.config["vocab"])))
        for token in tokens:
            flags[4 * token] = 1
        return bytes(flags)

    async def _rebuild(self) -> None:
        """A new device with the same plan; what was read with other adapters is read again so."""
        debug.say(debug.TIMINGS, "session", "device lost: rebuilding")
        self._device = await self._host.open_device(self._target)
        self._executable = await _load(
            self._host, self._model, self._device, self._plan, lambda progress: None
        )
        self.report = replace(self.report, facts=self._device.facts)
        earlier, self._context = self._context.earlier(self._weights), Context()
        for weights, tokens in earlier:
            await self._write_weights(weights)
            past = len(self._context.tokens)
            request = GenerateRequest(tuple(tokens), past, 1, frozenset(), (0.0,), 1, 1)
            async with aclosing(self._executable.generate(request)) as batches:
                async for _ in batches:
                    self._context.grow([*self._context.tokens, *tokens], weights)


async def fetch(
    host: Host, manifest: Manifest, on_progress: Callable[[Progress], None]
) -> Manifest:
    """Download what of a model nobody here has; see `store.share` and `store.download`."""

    def report(p: store_progress.Progress) -> None:
        on_progress(Progress("download", p.done_nbytes, p.total_nbytes, p.rate, p.seconds_left))

    if host.ladder.places:
        on_progress(Progress("share", 0, 0, 0.0, None))
    manifest = await host.ladder.look(host.store, manifest)
    manifest = await download(host.store, manifest, "", on_progress=report)
    host.ladder.offer(host.store, manifest)
    return manifest


async def _fetch_all(
    host: Host, model: Adapted, on_progress: Callable[[Progress], None]
) -> Adapted:
    """Download the base, then what is used beside it. Raises InputError as `Adapted` does."""
    base = await fetch(host, model.base, on_progress)
    parts = {name: await fetch(host, part, on_progress) for name, part in model.parts.items()}
    return Adapted(base, parts)


async def _load(
    host: Host,
    model: Adapted,
    device: Device,
    plan: str,
    on_progress: Callable[[Progress], None],
) -> Executable:
    """Load a downloaded model; an object that turns out to be damaged is fetched again."""
    damaged: set[str | None] = set()
    while True:
        try:
            return await device.load(
                plan, WeightFile(model.manifest.segments), _loading(host, on_progress)
            )
        except StoreError as error:  # the store dropped it when it was read
            if error.need in damaged:
                raise
            damaged.add(error.need)
            await _fetch_all(host, model, on_progress)


def _loading(host: Host, on_progress: Callable[[Progress], None]) -> Callable[[int, int], None]:
    start = host.clock()

    def report(done: int, total: int) -> None:
        rate = 1e3 * done / max(host.clock() - start, 1e-3)
        on_progress(Progress("load", done, total, rate, (total - done) / rate if rate else None))

    return report


def _report(
    device: Device,
    choice: Choice,
    plan_ms: float,
    from_store: bool,
    load_ms: float,
    executable: Executable,
) -> Report:
    return Report(
        device.facts,
        choice.variant,
        choice.reason,
        choice.rejected,
        plan_ms,
        from_store,
        load_ms,
        executable.nbytes,
    )


def _uniforms(sampling: Sampling, count: int) -> tuple[float, ...]:
    if sampling.temperature == 0:
        return (0.0,) * count
    rng = random.Random(sampling.seed)
    return tuple(rng.random() for _ in range(count))
