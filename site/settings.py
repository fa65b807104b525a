"""The parameters of the page's address (chat.py lists them), checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args
from urllib.parse import parse_qs, urljoin, urlsplit

from edgewise.errors import InputError
from edgewise.host.base import Target
from edgewise.router.place import Policy
from edgewise.router.probe import TARGETS

POLICIES: tuple[Policy, ...] = get_args(Policy)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the address asks for; `server` None: look whether the site has one."""

    model: str
    policy: Policy = "auto"
    target: Target | None = None
    server: str | None = None
    max_new_tokens: int = 256
    debug: int = 0


def parse(address: str, default_model: str) -> Settings:
    """The settings in `address`. Raises InputError for a value that is none."""
    query = {key: values[-1] for key, values in parse_qs(urlsplit(address).query).items()}
    server = query.get("server")
    return Settings(
        model=urljoin(address, query.get("model", default_model)),
        policy=_policy(query.get("policy", "auto")),
        target=_target(query.get("target")),
        server=urljoin(address, server) if server else None,
        max_new_tokens=_number(query, "tokens", 256, range(1, 100_000)),
        debug=_number(query, "debug", 0, range(5)),
    )


def _policy(text: str) -> Policy:
    for policy in POLICIES:
        if policy == text:
            return policy
    raise _wrong("policy", text, f"one of {', '.join(POLICIES)}")


def _target(text: str | None) -> Target | None:
    if text is None:
        return None
    for target in TARGETS:
        if target == text:
            return target
    raise _wrong("target", text, f"one of {', '.join(TARGETS)}")


def _number(query: Mapping[str, str], name: str, default: int, allowed: range) -> int:
    text = query.get(name, str(default))
    if not text.isdecimal() or int(text) not in allowed:
        raise _wrong(name, text, f"a number from {allowed[0]} to {allowed[-1]}")
    return int(text)


def _wrong(name: str, got: str, need: str) -> InputError:
    return InputError(f"{name} in the page's address", got=repr(got), need=need,
                      fix="Correct the address and load it again.")  # fmt: skip
