"""Where a model should run: here or on the server, with a sentence for every candidate.

Pure: facts of the device, demands of the model and room on the machine go in, a `Placement`
comes out, before any weight is downloaded. It knows what a model needs only in bytes; it opens
nothing and measures nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from ..store.manifest import Manifest
from ..store.runs import wanted
from ..targets.device import DeviceFacts

Policy = Literal["auto", "local", "server"]
POLICIES = ("auto", "local", "server")
SERVER = "server"


@dataclass(frozen=True, slots=True)
class Needs:
    """What a model asks of the machine that runs it, in bytes."""

    name: str
    weights: int
    state: int
    activations: int
    largest_buffer: int  # of those that no plan splits: one layer's keys or values
    download: int  # the segments with tensors, whatever of them is already stored

    @property
    def memory(self) -> int:
        """Predicted bytes on the device."""
        return self.weights + self.state + self.activations


@dataclass(frozen=True, slots=True)
class Room:
    """What the machine has, in bytes; None where it does not say."""

    device: int | None = None
    storage: int | None = None  # free for the store
    stored: int = 0  # of the model's file, already in the store


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place that lost, and why."""

    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class Placement:
    """The place that won ("webgpu", "reference" or "server"), why, and why the others lost."""

    where: str
    reason: str
    rejected: tuple[Candidate, ...]

    def to_dict(self) -> dict[str, object]:
        """Plain data for a page or a log."""
        return {
            "where": self.where,
            "reason": self.reason,
            "rejected": [{"where": c.where, "reason": c.reason} for c in self.rejected],
        }


def megabytes(nbytes: float) -> str:
    """Bytes for people: 98362432 -> "98.4 MB"."""
    return f"{nbytes / 1e6:.1f} MB"


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
    facts: DeviceFacts | None,
    why_no_device: EdgewiseError | None,
    needs: Needs,
    room: Room,
    *,
    policy: Policy,
    server: str | None,
) -> Placement:
    """Choose a place under `policy`; `server` is its address, or None.

    Raises InputError for an unknown policy, RouteError under "server" without one, and, when
    the work can be done nowhere, what stands in the way here: NoDeviceError, PlanError
    (memory) or QuotaError (storage).
    """
    if policy not in POLICIES:
        raise InputError("policy", got=repr(policy), need=f"one of {', '.join(POLICIES)}")
    here = facts.target if facts else "webgpu"
    if policy == "server":
        return place_on_server(server, here)
    obstacle = _obstacle(facts, why_no_device, needs, room)
    if obstacle is None and facts is not None:
        lost = Candidate(SERVER, _server_not_used(policy, server))
        return Placement(here, _runs_here(facts, needs, room), (lost,))
    assert obstacle is not None
    if policy == "local" or server is None:
        raise obstacle
    return Placement(
        SERVER,
        f"this device cannot run it, so {server} answers",
        (Candidate(here, sentence(obstacle)),),
    )


def place_on_server(server: str | None, here: str = "webgpu") -> Placement:
    """The placement under the policy "server". Raises RouteError without a server."""
    if server is None:
        raise RouteError(
            "policy 'server'",
            got="no server's address",
            need="one",
            fix="name a server, or choose the policy 'auto' or 'local'",
        )
    asked = "the policy 'server' asks for the server"
    return Placement(SERVER, f"{asked}: {server}", (Candidate(here, asked),))


def hand_over(lost: Placement, error: EdgewiseError, server: str) -> Placement:
    """The placement after the place that `lost` names failed with `error`."""
    return Placement(
        SERVER,
        f"it failed on this device, so {server} answers",
        (Candidate(lost.where, sentence(error)),),
    )


def sentence(error: EdgewiseError) -> str:
    """An error as one line for a list of reasons."""
    return " ".join(str(error).split("\n  fix: ")[0].split())


def _obstacle(
    facts: DeviceFacts | None, why: EdgewiseError | None, needs: Needs, room: Room
) -> EdgewiseError | None:
    if facts is None:
        return why or NoDeviceError("no WebGPU device", fix="use a browser with WebGPU")
    missing = needs.download - room.stored
    if room.storage is not None and missing > room.storage:
        return QuotaError(
            f"no room to store {needs.name!r}",
            got=f"{megabytes(room.storage)} free",
            need=f"{megabytes(missing)} more",
            fix="free storage, or choose a smaller model",
        )
    if room.device is not None and needs.memory > room.device:
        return PlanError(
            f"no room on {facts.name} for {needs.name!r}",
            got=megabytes(room.device),
            need=_memory(needs),
            fix="choose a smaller model or a shorter context",
        )
    return _buffer_obstacle(facts, needs)


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


def _runs_here(facts: DeviceFacts, needs: Needs, room: Room) -> str:
    kind = " (a software adapter: slow)" if facts.fallback else ""
    missing = max(needs.download - room.stored, 0)
    load = f"{megabytes(missing)} to download" if missing else "every weight is already stored"
    return f"{needs.name} fits on {facts.name}{kind}: {_memory(needs)}; {load}"


def _server_not_used(policy: Policy, server: str | None) -> str:
    if policy == "local":
        return "the policy 'local' keeps the conversation on this machine"
    return "this device can do it" if server else "no server was named"
