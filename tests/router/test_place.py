"""The placement table: every combination of device, room, policy and server, and its sentence."""

from __future__ import annotations

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
    Needs,
    Placement,
    Policy,
    Room,
    hand_over,
    place,
    place_on_server,
)
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
MODEL = Needs("tiny", weights=98 * MB, state=47 * MB, activations=5 * MB,
              largest_buffer=1 * MB, download=98 * MB)  # fmt: skip
SERVER = "http://server.test"
NO_DEVICE = NoDeviceError("no WebGPU adapter", got="null")
ROOMY = Room(device=None, storage=500 * MB)

#: What stands in the way here: facts, error, needs, room -> the error raised, a part of its text.
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
    why = None if facts else NO_DEVICE
    return place(facts, why, needs, room, policy=policy, server=server)


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
    assert "software adapter" in decide(replace(GPU, fallback=True), ROOMY, "auto", None).reason


def test_a_failure_after_the_decision_hands_over_with_its_reason() -> None:
    before = decide(GPU, ROOMY, "auto", SERVER)
    after = hand_over(before, HostError("the kernel does not compile", got="E1\nE2"), SERVER)
    assert after.where == "server"
    assert after.rejected[0].where == "webgpu"
    assert after.rejected[0].reason == "the kernel does not compile: got E1 E2"
    assert after.to_dict()["rejected"] == [
        {"where": "webgpu", "reason": "the kernel does not compile: got E1 E2"}
    ]
