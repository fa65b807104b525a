"""The way to an answerer: probe once, try the places in the order of the router, remember failures.

A place that fails is ruled out, and the router asked again: the next device of this machine comes
before the server, and under the policy "local" there is no server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from .. import debug
from ..errors import (
    EdgewiseError,
    FormatError,
    HostError,
    PlanError,
    QuotaError,
    UnsupportedError,
)
from ..host.base import Host, Target
from ..router.place import SERVER, Needs, Placement, Policy, needs, place, place_on_server
from ..router.probe import Probe, probe
from ..runtime.session import Progress, Session
from ..store.manifest import Manifest
from .answer import Answerer
from .documents import load_tokenizer
from .local import LocalAnswerer
from .remote import RemoteAnswerer


@dataclass(slots=True)
class Here:
    """This machine as a place for one model, `context` tokens of it in memory, and its adapters."""

    manifest: Manifest
    found: Probe
    needs: Needs
    context: int
    adapters: Mapping[str, Manifest] = field(default_factory=dict)

    @classmethod
    async def look(
        cls,
        host: Host,
        manifest: Manifest,
        target: Target | None,
        context: int,
        adapters: Mapping[str, Manifest],
    ) -> Here:
        """Probe the machine; `target` as in `probe`."""
        asked = needs(manifest, context=context)
        return cls(manifest, await probe(host, manifest, target), asked, context, adapters)

    async def open(
        self, host: Host, target: Target, on_progress: Callable[[Progress], None]
    ) -> LocalAnswerer:
        """Bring the model onto a device. Raises what `Session.open` raises, FormatError."""
        manifest = self.manifest
        if manifest.chat is None:
            raise FormatError(
                "the model has no chat format",
                need="one in its manifest",
                where=f"manifest {manifest.name}",
            )
        tokenizer = await load_tokenizer(host, manifest)
        # The tokenizer is here and kept: the session has only weights to fetch.
        weights = replace(manifest, tokenizer=None)
        session = await Session.open(
            host, weights, target=target, max_context=self.context, adapters=self.adapters,
            on_progress=on_progress,
        )  # fmt: skip
        return LocalAnswerer(host, session, tokenizer, manifest.chat)


@dataclass(slots=True)
class Route:
    """Where answers may come from. `here` is None under the policy "server"."""

    host: Host
    here: Here | None
    policy: Policy
    server: str | None
    token: str | None
    on_place: Callable[[Placement], None]
    on_progress: Callable[[Progress], None] | None

    async def open(self) -> tuple[Answerer, Placement]:
        """The best place that works. Raises what stands in the way when none does."""
        while True:
            where = self._place()
            self.on_place(where)
            debug.say(debug.TIMINGS, "router", str(where.to_dict()))
            if where.where == SERVER:
                return self._remote(), where
            try:
                assert self.here is not None, f"{where.where=}"
                target, report = cast(Target, where.where), self.on_progress or _silent
                return await self.here.open(self.host, target, report), where
            except (HostError, PlanError, QuotaError, UnsupportedError) as error:
                self.rule_out(where.where, error)

    async def after(self, where: str, why: EdgewiseError) -> tuple[Answerer, Placement]:
        """The best of the other places. Raises what stands in the way; then nothing has changed."""
        assert self.here is not None, f"{where=}"
        before = self.here.found
        self.rule_out(where, why)
        try:
            return await self.open()
        except BaseException:
            self.here.found = before
            raise

    def rule_out(self, where: str, why: EdgewiseError) -> None:
        """A device that is not to be chosen again."""
        assert self.here is not None, f"{where=}"
        self.here.found = self.here.found.without(where, why)

    def _place(self) -> Placement:
        here = self.here
        if here is None:
            return place_on_server(self.server)
        return place(
            here.found.devices, here.needs, here.found.room, policy=self.policy, server=self.server
        )

    def _remote(self) -> RemoteAnswerer:
        return RemoteAnswerer(
            self.host, self.server or "", token=self.token, on_progress=self.on_progress
        )


def _silent(progress: Progress) -> None:
    """Nobody listens."""
