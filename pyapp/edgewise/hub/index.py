"""A model index: a document that says what models there are, what they do and what they take.

Plain data from anybody, so everything in it is checked on the way in; members that are not known
are ignored. The JSON form is `edgewise-index/1`: index.schema.json beside this file. Its addresses
are relative to its own; those of an `Index` that was read are absolute.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urljoin

from ..errors import InputError
from ..host.builtins import INTERFACES, Interface
from ..store.document import Kind, Value, parse
from .version import VERSION, Specifier

T = TypeVar("T")
FORMAT = "edgewise-index/1"
INDEX = Kind("index", "correct it, or write it with `edgewise hub add`")

TASK = r"[a-z0-9]+(-[a-z0-9]+)*"
TAG = r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*"


@dataclass(frozen=True, slots=True)
class Part:
    """A packed model at `manifest`, with `nbytes` of weights to fetch.

    component  its name as a sub-model that several entries share, such as an encoder; None: it is
               all there is of its variant.
    """

    component: str | None
    manifest: str
    nbytes: int


@dataclass(frozen=True, slots=True)
class Variant:
    """One form of a model's weights, in bytes and operations.

    quantisation     such as "Q4_1" or "int8"; None: as they were published.
    parts            what has to be fetched: one manifest, components, or both.
    memory           on the device, with room for a usual input.
    flops_per_token, nbytes_per_token  0: not known.
    needs            what the machine must have, such as "webgpu", "shader-f16", "wasm-threads".
    fidelity         how much of the published weights is left: 1 less the relative error.
    tensors          `store.adapter.tensors_id` of it; base: of an adapter, that of what it goes on.
                     None: it is not stated.
    """

    name: str
    format: str
    quantisation: str | None
    parts: tuple[Part, ...]
    memory: int
    flops_per_token: int
    nbytes_per_token: int
    needs: frozenset[str] = frozenset()
    fidelity: float = 1.0
    tensors: str | None = None
    base: str | None = None

    @property
    def nbytes(self) -> int:
        """Weights to fetch where nothing is there."""
        return sum(part.nbytes for part in self.parts)


@dataclass(frozen=True, slots=True)
class Server:
    """An endpoint in OpenAI's form; model: its name there."""

    url: str
    model: str


@dataclass(frozen=True, slots=True)
class Base:
    """What an adapter is put on: the entry of this name, in the versions that `version` allows."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A model: what it does, and the ways in which it can be had.

    languages  that it knows; pairs: what it translates from and to. Neither: it states none.
    version    None: it states none, as a model of a browser.
    quality    from 0 to 1, comparable within a task; None: not known.
    builtin    the browser's interface that does it; base: what it is an adapter of.
    """

    name: str
    task: str
    languages: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    version: str | None = None
    license: str | None = None
    quality: float | None = None
    variants: tuple[Variant, ...] = ()
    servers: tuple[Server, ...] = ()
    builtin: Interface | None = None
    base: Base | None = None

    @property
    def title(self) -> str:
        """ "smollm2-135m-instruct 1.0.0"."""
        return f"{self.name} {self.version}" if self.version else self.name


@dataclass(frozen=True, slots=True)
class Index:
    """Entries, each pair of name and version once."""

    entries: tuple[Entry, ...] = ()

    def to_json(self) -> str:
        """The document. Raises InputError for components that share a name and nothing else."""
        entries = [_entry_data(entry) for entry in self.entries]
        data = {"format": FORMAT, "components": _components_data(self), "entries": entries}
        return json.dumps(_stated(data), ensure_ascii=False, indent=1) + "\n"

    @staticmethod
    def from_json(text: str, url: str = "") -> Index:
        """Reads and checks the document that is at `url`.

        Raises FormatError, `where` being the path in the document.
        """
        root = parse(text, INDEX)
        if root.field("format").data != FORMAT:
            raise root.field("format").wrong(repr(FORMAT))
        components = {
            name: _part(name, value, url) for name, value in _members(root.field("components"))
        }
        found = [(v, _entry(v, components, url)) for v in root.field("entries").items()]
        _once([(value.field("name"), (entry.name, entry.version)) for value, entry in found])
        return Index(tuple(entry for _, entry in found))


def _part(component: str | None, value: Value, url: str) -> Part:
    manifest = urljoin(url, value.field("manifest").text())
    return Part(component, manifest, value.field("nbytes").integer(1))


def _variant(value: Value, components: Mapping[str, Part], url: str) -> Variant:
    parts = [_part(None, value, url)] if value.field("manifest").data is not None else []
    for item in _items(value.field("components")):
        if item.text() not in components:
            raise item.wrong("the name of one of the index's components")
        parts.append(components[item.text()])
    if not parts:
        raise value.wrong("a manifest or components")
    fidelity = value.field("fidelity")
    return Variant(
        name=value.field("name").text(),
        format=value.field("format").text(),
        quantisation=value.field("quantisation").text_or_none(),
        parts=tuple(parts),
        memory=value.field("memory").integer(),
        flops_per_token=value.field("flops_per_token").integer(),
        nbytes_per_token=value.field("nbytes_per_token").integer(),
        needs=frozenset(item.text() for item in _items(value.field("needs"))),
        fidelity=1.0 if fidelity.data is None else fidelity.share(),
        tensors=value.field("tensors").sha256_or_none(),
        base=value.field("base").sha256_or_none(),
    )


def _entry(value: Value, components: Mapping[str, Part], url: str) -> Entry:
    variants = [(v, _variant(v, components, url)) for v in _items(value.field("variants"))]
    _once([(each.field("name"), variant.name) for each, variant in variants])
    entry = Entry(
        name=value.field("name").text(),
        task=value.field("task").matching(TASK, "a task, as text-generation"),
        languages=tuple(map(_tag, _items(value.field("languages")))),
        pairs=tuple(map(_pair, _items(value.field("pairs")))),
        version=_optional(value.field("version"), _version),
        license=value.field("license").text_or_none(),
        quality=_optional(value.field("quality"), Value.share),
        variants=tuple(variant for _, variant in variants),
        servers=tuple(_server(item, url) for item in _items(value.field("servers"))),
        builtin=_optional(value.field("builtin"), _interface),
        base=_optional(value.field("base"), _base),
    )
    if not (entry.variants or entry.servers or entry.builtin):
        raise value.wrong("variants, servers or a built-in")
    return entry


def _server(value: Value, url: str) -> Server:
    return Server(urljoin(url, value.field("url").text()), value.field("model").text())


def _base(value: Value) -> Base:
    version = value.field("version")
    try:
        Specifier.parse(version.text())
    except InputError as error:
        raise version.wrong(error.need or "") from None
    return Base(value.field("name").text(), version.text())


def _version(value: Value) -> str:
    return value.matching(VERSION, "a semantic version, as 1.4.0")


def _tag(value: Value) -> str:
    return value.matching(TAG, "a language tag, as en or pt-BR")


def _pair(value: Value) -> tuple[str, str]:
    source, target = map(_tag, value.items(2))
    return source, target


def _interface(value: Value) -> Interface:
    for name in INTERFACES:
        if name == value.data:
            return name
    raise value.wrong(f"one of {', '.join(INTERFACES)}")


def _optional(value: Value, read: Callable[[Value], T]) -> T | None:
    return None if value.data is None else read(value)


def _items(value: Value) -> list[Value]:
    return [] if value.data is None else value.items()


def _members(value: Value) -> list[tuple[str, Value]]:
    return [] if value.data is None else value.members()


def _once(named: Iterable[tuple[Value, object]]) -> None:
    seen: set[object] = set()
    for value, key in named:
        if key in seen:
            raise value.wrong("a name that nothing before it has")
        seen.add(key)


def _components_data(index: Index) -> dict[str, Any]:
    found: dict[str, Part] = {}
    variants = (variant for entry in index.entries for variant in entry.variants)
    for part in (part for variant in variants for part in variant.parts if part.component):
        name = part.component or ""
        if found.setdefault(name, part) != part:
            raise InputError("components of an index", got=f"two that are named {name!r}",
                             need="a name of its own for each")  # fmt: skip
    return {name: _part_data(part) for name, part in found.items()}


def _part_data(part: Part) -> dict[str, object]:
    return {"manifest": part.manifest, "nbytes": part.nbytes}


def _variant_data(variant: Variant) -> dict[str, object]:
    whole = next((_part_data(part) for part in variant.parts if part.component is None), {})
    return {
        "name": variant.name,
        "format": variant.format,
        "quantisation": variant.quantisation,
        **whole,
        "components": [part.component for part in variant.parts if part.component],
        "memory": variant.memory,
        "flops_per_token": variant.flops_per_token,
        "nbytes_per_token": variant.nbytes_per_token,
        "needs": sorted(variant.needs),
        "fidelity": None if variant.fidelity == 1 else variant.fidelity,
        "tensors": variant.tensors,
        "base": variant.base,
    }


def _entry_data(entry: Entry) -> dict[str, object]:
    base = entry.base
    return _stated({
        "name": entry.name,
        "task": entry.task,
        "languages": entry.languages,
        "pairs": entry.pairs,
        "version": entry.version,
        "license": entry.license,
        "quality": entry.quality,
        "base": base and {"name": base.name, "version": base.version},
        "variants": [_stated(_variant_data(each)) for each in entry.variants],
        "servers": [{"url": each.url, "model": each.model} for each in entry.servers],
        "builtin": entry.builtin,
    })  # fmt: skip


def _stated(data: Mapping[str, object]) -> dict[str, object]:
    """Without what says nothing: a member that is missing is read as null, or as none."""
    empty: Sequence[object] = (None, [], (), {})
    return {key: item for key, item in data.items() if item not in empty}
