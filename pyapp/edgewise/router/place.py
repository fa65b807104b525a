"""Where a model should run: on which device here, or on the server, with a sentence for each.

Pure: what was found of the devices, demands of the model and room on the machine go in, a
`Placement` comes out, before any weight is downloaded. It opens nothing and measures nothing. Of
the devices that can, the one wins where a typical answer is predicted to end first (`predict`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ..errors import (
    EdgewiseError,
    InputError,
    NoDeviceError,
    PlanError,
    QuotaError,
    RouteError,
)
from ..hub.words import megabytes, seconds
from ..store.manifest import Manifest
from ..store.runs import wanted
from ..targets.device import DeviceFacts
from .predict import ANSWER, Prediction, Rates, Work, predict

Policy = Literal["auto", "local", "server"]
POLICIES = ("auto", "local", "server")
SERVER = "server"


@dataclass(frozen=True, slots=True)
class Needs:
    """What a model asks of the machine that runs it, in bytes, and the work of a token."""

    name: str
    weights: int
    state: int
    activations: int
    largest_buffer: int  # of those that no plan splits: one layer's keys or values
    download: int  # the segments with tensors, whatever of them is already stored
    work: Work

    @property
    def memory(self) -> int:
        """Predicted bytes on the device."""
        return self.weights + self.state + self.activations


@dataclass(frozen=True, slots=True)
class Room:
    """What the machine has, in bytes; None where it does not say."""

    device: int | None = None
    storage: int | None = None  # free for the store, or evicted for it
    stored: int = 0  # of the model's file, already in the store


@dataclass(frozen=True, slots=True)
class Found:
    """A device of this machine.

    facts  what it says of itself, or None and then `why` it can't be used
    rates  how fast it was measured to be; None where there was no choice to make
    """

    target: str
    facts: DeviceFacts | None = None
    rates: Rates | None = None
    why: EdgewiseError | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place that lost, and why."""

    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class Placement:
    """The place that won (a device's target or "server"), why, and why the others lost.

    prediction  of the place that won, where its speed was measured
    """

    where: str
    reason: str
    rejected: tuple[Candidate, ...]
    prediction: Prediction | None = None

    def to_dict(self) -> dict[str, object]:
        """Plain data for a page or a log."""
        made = self.prediction
        return {
            "where": self.where,
            "reason": self.reason,
            "tokens_per_s": made and made.tokens_per_s,
            "first_token_s": made and made.first_token_s,
            "rejected": [{"where": c.where, "reason": c.reason} for c in self.rejected],
        }


def needs(manifest: Manifest, *, context: int, max_seq: int = 512) -> Needs:
    """What the model asks for with room for `context` tokens, read `max_seq` at a time.

    Activations are predicted in float32: the residual stream and its norm, one layer's
    projections and feed-forward halves, and the logits with what sampling keeps beside them.
    """
    config, demands = manifest.config, manifest.demands
    context = min(context, demands.context)
    state = demands.kv_nbytes_per_token * context
    return Needs(
        name=manifest.name,
        weights=demands.weight_nbytes,
        state=state,
        activations=_activations(config, max_seq),
        largest_buffer=state // (2 * _int(config, "layers")),
        download=sum(manifest.segments[index].nbytes for index in wanted(manifest, None)),
        work=Work(
            nbytes=max(demands.nbytes_per_token, 1),
            madds=max(demands.flops_per_token // 2, 1),
            weights=demands.weight_nbytes,
        ),
    )


def _activations(config: Mapping[str, object], max_seq: int) -> int:
    hidden, vocab, ffn = (_int(config, key) for key in ("hidden", "vocab", "ffn"))
    heads = _int(config, "heads") + 2 * _int(config, "kv_heads")
    row = 3 * hidden + heads * _int(config, "head_dim") + 2 * ffn
    return 4 * (max_seq * row + 3 * vocab)


def _int(config: Mapping[str, object], key: str) -> int:
    value = config.get(key)
    return value if isinstance(value, int) and value > 0 else 1


def place(
    devices: Sequence[Found], needs: Needs, room: Room, *, policy: Policy, server: str | None
) -> Placement:
    """Choose a place under `policy`; `server` is its address, or None.

    Raises InputError for an unknown policy, RouteError under "server" without one, and, when
    the work can be done nowhere, what stands in the way here: NoDeviceError, PlanError
    (memory) or QuotaError (storage), or why a device was ruled out.
    """
    if policy not in POLICIES:
        raise InputError("policy", got=repr(policy), need=f"one of {', '.join(POLICIES)}")
    if policy == "server":
        return place_on_server(server, tuple(device.target for device in devices))
    obstacles = {device.target: _obstacle(device, needs, room) for device in devices}
    able = sorted(
        (
            _Runner(device.facts, predict(device.rates, needs.work) if device.rates else None)
            for device in devices
            if device.facts and obstacles[device.target] is None
        ),
        key=lambda runner: runner.rank,
    )
    lost = [Candidate(name, sentence(why)) for name, why in obstacles.items() if why is not None]
    if able:
        best, *slower = able
        lost = [*(Candidate(each.facts.target, each.loses_to(best)) for each in slower), *lost]
        lost.append(Candidate(SERVER, _server_not_used(policy, server)))
        reason = _runs_here(best, needs, room)
        return Placement(best.facts.target, reason, tuple(lost), best.prediction)
    if policy == "local" or server is None:
        raise _worst(obstacles.values())
    return Placement(SERVER, f"this device cannot run it, so {server} answers", tuple(lost))


def place_on_server(server: str | None, here: Sequence[str] = ("webgpu", "wasm")) -> Placement:
    """The placement under the policy "server". Raises RouteError without a server."""
    if server is None:
        raise RouteError(
            "policy 'server'",
            got="no server's address",
            need="one",
            fix="name a server, or choose the policy 'auto' or 'local'",
        )
    asked = "the policy 'server' asks for the server"
    return Placement(SERVER, f"{asked}: {server}", tuple(Candidate(each, asked) for each in here))


@dataclass(frozen=True, slots=True)
class _Runner:
    """A device that can."""

    facts: DeviceFacts
    prediction: Prediction | None

    @property
    def rank(self) -> tuple[float, bool]:
        """Less is better. What was not measured comes last, software after hardware."""
        answer = self.prediction.answer_s if self.prediction else float("inf")
        return answer, self.facts.fallback

    def loses_to(self, best: _Runner) -> str:
        """Why, as a sentence."""
        if self.prediction is None or best.prediction is None:
            return f"its speed is not known, that of {best.facts.name} is"
        return (
            f"{self.facts.name} would be slower: predicted {self.prediction}; an answer of "
            f"{ANSWER} tokens in {seconds(self.prediction.answer_s)} instead of "
            f"{seconds(best.prediction.answer_s)}"
        )


def sentence(error: EdgewiseError) -> str:
    """An error as one line for a list of reasons."""
    return " ".join(str(error).split("\n  fix: ")[0].split())


def _worst(obstacles: Iterable[EdgewiseError | None]) -> EdgewiseError:
    """What to tell: that a device can't do it says more than that there is none of its kind."""
    errors = [each for each in obstacles if each is not None]
    there = [each for each in errors if not isinstance(each, NoDeviceError)]
    return (there or errors or [NoDeviceError("no device", fix="use another browser")])[0]


def _obstacle(device: Found, needs: Needs, room: Room) -> EdgewiseError | None:
    facts = device.facts
    if facts is None:
        return device.why or NoDeviceError(f"no device for {device.target}")
    missing = needs.download - room.stored
    if room.storage is not None and missing > room.storage:
        return QuotaError(
            f"no room to store {needs.name!r}",
            got=f"{megabytes(room.storage)} free",
            need=f"{megabytes(missing)} more",
            fix="free storage, or choose a smaller model",
        )
    memory = [each for each in (room.device, _address_space(facts)) if each is not None]
    if memory and needs.memory > min(memory):
        return PlanError(
            f"no room on {facts.name} for {needs.name!r}",
            got=megabytes(min(memory)),
            need=_memory(needs),
            fix="choose a smaller model or a shorter context",
        )
    return _buffer_obstacle(facts, needs)


def _address_space(facts: DeviceFacts) -> int | None:
    """Where all buffers lie in one memory, the most that they have together."""
    return facts.limits.get("maxBufferSize") if facts.target == "wasm" else None


def _buffer_obstacle(facts: DeviceFacts, needs: Needs) -> EdgewiseError | None:
    for limit in ("maxStorageBufferBindingSize", "maxBufferSize"):
        largest = facts.limits.get(limit)
        if largest is not None and needs.largest_buffer > largest:
            return PlanError(
                f"a state buffer of {needs.name!r} is too large for {facts.name}",
                got=f"{limit} {megabytes(largest)}",
                need=megabytes(needs.largest_buffer),
                fix="choose a shorter context",
            )
    return None


def _memory(needs: Needs) -> str:
    return (
        f"about {megabytes(needs.memory)} ({megabytes(needs.weights)} weights, "
        f"{megabytes(needs.state)} state, {megabytes(needs.activations)} activations)"
    )


def _runs_here(best: _Runner, needs: Needs, room: Room) -> str:
    facts = best.facts
    kind = " (a software adapter: slow)" if facts.fallback else ""
    speed = f"; predicted {best.prediction}" if best.prediction else ""
    missing = max(needs.download - room.stored, 0)
    load = f"{megabytes(missing)} to download" if missing else "every weight is already stored"
    return f"{needs.name} fits on {facts.name}{kind}: {_memory(needs)}; {load}{speed}"


def _server_not_used(policy: Policy, server: str | None) -> str:
    if policy == "local":
        return "the policy 'local' keeps the conversation on this machine"
    return "this device can do it" if server else "no server was named"
