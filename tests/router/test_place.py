"""The placement table: every combination of device, room, policy and server, and its sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import get_args

import pytest

from edgewise.errors import (
    EdgewiseError,
    HostError,
    InputError,
    NoDeviceError,
    PlanError,
    QuotaError,
    RouteError,
)
from edgewise.router.place import (
    Found,
    Needs,
    Placement,
    Policy,
    Room,
    place,
    place_on_server,
)
from edgewise.router.predict import Rates, Work, predict
from edgewise.targets.device import DeviceFacts

MB = 1_000_000
GPU = DeviceFacts(
    target="webgpu",
    name="Test GPU",
    features=frozenset(),
    limits={"maxStorageBufferBindingSize": 128 * MB, "maxBufferSize": 256 * MB},
    subgroup_min=0,
    subgroup_max=0,
    fallback=False,
)
SOFTWARE = replace(GPU, name="Test software", fallback=True)
CPU = DeviceFacts(
    target="wasm",
    name="Wasm, 2 threads",
    features=frozenset({"simd"}),
    limits={"maxBufferSize": 4295 * MB, "maxStorageBufferBindingSize": 4295 * MB, "threads": 2},
    subgroup_min=0,
    subgroup_max=0,
    fallback=False,
)
WORK = Work(nbytes=98 * MB, madds=135 * MB, weights=98 * MB)
MODEL = Needs("tiny", weights=98 * MB, state=47 * MB, activations=5 * MB,
              largest_buffer=1 * MB, download=98 * MB, work=WORK)  # fmt: skip
#: Bytes and multiply-adds a second: as measured on an H100, two threads of Wasm, SwiftShader.
FAST = Rates(nbytes=300e9, madds=20e12, loaded=1e9)
MIDDLE = Rates(nbytes=10e9, madds=100e9, loaded=1e9)
SLOW = Rates(nbytes=0.4e9, madds=0.5e9, loaded=0.1e9)
SERVER = "http://server.test"
NO_GPU = Found("webgpu", why=NoDeviceError("no WebGPU adapter", got="null"))
NO_WASM = Found("wasm", why=NoDeviceError("no Wasm", got="null"))
ROOMY = Room(device=None, storage=500 * MB)

#: What stands in the way here: facts, needs, room -> the error raised, a part of its text.
OBSTACLES: dict[str, tuple[DeviceFacts | None, Needs, Room, type[EdgewiseError], str]] = {
    "no device": (None, MODEL, ROOMY, NoDeviceError, "no WebGPU adapter: got null"),
    "no storage": (GPU, MODEL, Room(storage=41 * MB), QuotaError, "41.0 MB free; need 98.0 MB"),
    "half stored": (GPU, MODEL, Room(storage=41 * MB, stored=50 * MB), QuotaError, "need 48.0 MB"),
    "no memory": (GPU, MODEL, Room(device=100 * MB), PlanError, "need about 150.0 MB"),
    "long context": (
        GPU, replace(MODEL, largest_buffer=200 * MB), ROOMY, PlanError,
        "maxStorageBufferBindingSize 128.0 MB",
    ),
}  # fmt: skip


def decide(
    facts: DeviceFacts | None, room: Room, policy: Policy, server: str | None, needs: Needs = MODEL
) -> Placement:
    """Of a machine with one device."""
    found = Found("webgpu", facts) if facts else NO_GPU
    return place([found], needs, room, policy=policy, server=server)


def among(*devices: Found, needs: Needs = MODEL, policy: Policy = "auto") -> Placement:
    """Of a machine with several devices, and a server."""
    return place(devices, needs, ROOMY, policy=policy, server=SERVER)


@pytest.mark.parametrize("server", [None, SERVER])
@pytest.mark.parametrize("policy", ["auto", "local"])
def test_a_device_that_can_is_taken(policy: Policy, server: str | None) -> None:
    where = decide(GPU, ROOMY, policy, server)
    assert where.where == "webgpu"
    assert "tiny fits on Test GPU: about 150.0 MB" in where.reason
    assert "98.0 MB to download" in where.reason
    assert [lost.where for lost in where.rejected] == ["server"]
    expected = {"local": "policy 'local' keeps", "auto": "can do it" if server else "no server"}
    assert expected[policy] in where.rejected[0].reason


@pytest.mark.parametrize("name", OBSTACLES)
def test_a_device_that_cannot_hands_over_under_auto(name: str) -> None:
    facts, needs, room, _, text = OBSTACLES[name]
    where = decide(facts, room, "auto", SERVER, needs)
    assert where.where == "server"
    assert SERVER in where.reason
    assert [lost.where for lost in where.rejected] == ["webgpu"]
    assert text in where.rejected[0].reason


@pytest.mark.parametrize("name", OBSTACLES)
@pytest.mark.parametrize(("policy", "server"), [("local", SERVER), ("local", None), ("auto", None)])
def test_what_stands_in_the_way_is_raised_when_nobody_else_may(
    name: str, policy: Policy, server: str | None
) -> None:
    facts, needs, room, error, text = OBSTACLES[name]
    with pytest.raises(error) as caught:
        decide(facts, room, policy, server, needs)
    assert text in str(caught.value)


def test_the_policy_server_asks_nothing_of_the_device() -> None:
    for facts in (GPU, None):
        where = decide(facts, ROOMY, "server", SERVER)
        assert (where.where, where.rejected[0].where) == ("server", "webgpu")
    assert [lost.where for lost in place_on_server(SERVER).rejected] == ["webgpu", "wasm"]
    with pytest.raises(RouteError, match="no server's address"):
        place_on_server(None)


def test_no_policy_local_ever_names_the_server() -> None:
    for facts, room, server in product(
        (GPU, None), (ROOMY, Room(storage=0), Room(device=0)), (SERVER, None)
    ):
        try:
            assert decide(facts, room, "local", server).where != "server"
        except (NoDeviceError, QuotaError, PlanError):
            continue


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(InputError, match="auto, local, server"):
        decide(GPU, ROOMY, "remote", None)  # type: ignore[arg-type]
    assert get_args(Policy) == ("auto", "local", "server")


def test_a_stored_model_needs_no_storage_and_says_so() -> None:
    where = decide(GPU, Room(storage=0, stored=98 * MB), "auto", None)
    assert "every weight is already stored" in where.reason


def test_a_software_adapter_says_so() -> None:
    assert "software adapter" in decide(SOFTWARE, ROOMY, "auto", None).reason


def test_a_prediction_by_hand() -> None:
    made = predict(Rates(nbytes=980e6, madds=1350e6, loaded=98e6), WORK)
    assert made.tokens_per_s == pytest.approx(10)
    assert made.first_token_s == pytest.approx(1 + 64 * 0.1)
    assert made.answer_s == pytest.approx(1 + 6.4 + 12.7)
    assert str(made) == "10 tokens/s, the first after 7.4 s"


#: What is found of two devices -> who wins, and what is said of the other.
RACES: list[tuple[Sequence[Found], str, str]] = [
    ([Found("webgpu", GPU, FAST), Found("wasm", CPU, MIDDLE)], "webgpu",
     "Wasm, 2 threads would be slower: predicted 102 tokens/s"),
    ([Found("webgpu", SOFTWARE, SLOW), Found("wasm", CPU, MIDDLE)], "wasm",
     "Test software would be slower: predicted 4.1 tokens/s, the first after 18 s; an answer of "
     "128 tokens in 49 s instead of 1.4 s"),
    ([Found("webgpu", GPU, SLOW), Found("wasm", CPU, MIDDLE)], "wasm", "Test GPU would be slower"),
    ([Found("webgpu", SOFTWARE, FAST), Found("wasm", CPU, MIDDLE)], "webgpu", "would be slower"),
    ([NO_GPU, Found("wasm", CPU)], "wasm", "no WebGPU adapter: got null"),
    ([Found("webgpu", GPU), NO_WASM], "webgpu", "no Wasm: got null"),
    ([Found("webgpu", SOFTWARE), Found("wasm", CPU, MIDDLE)], "wasm", "speed is not known"),
]  # fmt: skip


@pytest.mark.parametrize(("devices", "winner", "text"), RACES)
@pytest.mark.parametrize("policy", ["auto", "local"])
def test_the_device_that_ends_first_is_taken(
    devices: Sequence[Found], winner: str, text: str, policy: Policy
) -> None:
    for order in (devices, devices[::-1]):
        where = among(*order, policy=policy)
        assert where.where == winner
        other, server = where.rejected
        assert text in other.reason
        assert server.where == "server"


def test_the_prediction_is_part_of_the_reason() -> None:
    where = among(Found("webgpu", SOFTWARE, SLOW), Found("wasm", CPU, MIDDLE))
    assert where.reason.endswith("predicted 102 tokens/s, the first after 184 ms")
    assert where.prediction is not None
    assert where.to_dict()["tokens_per_s"] == where.prediction.tokens_per_s
    assert where.to_dict()["first_token_s"] == where.prediction.first_token_s


def test_a_short_answer_on_a_device_that_loads_slowly_counts_its_load() -> None:
    slow_to_load = replace(FAST, loaded=98e6 / 30)
    where = among(Found("webgpu", GPU, slow_to_load), Found("wasm", CPU, MIDDLE))
    assert where.where == "wasm"


def test_a_model_over_4_gib_is_too_large_for_wasm_alone() -> None:
    large = replace(MODEL, weights=5000 * MB, download=98 * MB)
    where = among(Found("webgpu", GPU, SLOW), Found("wasm", CPU, MIDDLE), needs=large)
    assert where.where == "webgpu"
    assert "no room on Wasm, 2 threads for 'tiny': got 4295.0 MB" in where.rejected[0].reason
    where = among(NO_GPU, Found("wasm", CPU), needs=large)
    assert [lost.where for lost in where.rejected] == ["webgpu", "wasm"]
    with pytest.raises(PlanError, match="no room on Wasm"):
        among(NO_GPU, Found("wasm", CPU), needs=large, policy="local")


def test_a_device_that_failed_is_followed_by_the_next_and_then_the_server() -> None:
    failed = Found("webgpu", why=HostError("the kernel does not compile", got="E1\nE2"))
    where = among(failed, Found("wasm", CPU))
    assert where.where == "wasm"
    assert where.rejected[0].reason == "the kernel does not compile: got E1 E2"
    where = among(failed, Found("wasm", why=HostError("a thread stopped")))
    assert where.where == "server"
    assert where.to_dict()["rejected"] == [
        {"where": "webgpu", "reason": "the kernel does not compile: got E1 E2"},
        {"where": "wasm", "reason": "a thread stopped"},
    ]
