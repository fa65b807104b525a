"""Entries from manifests: what is read off, what a second one changes, and the schema's word."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from jsonschema import Draft202012Validator

from edgewise.errors import DownloadError, InputError
from edgewise.host.base import Host
from edgewise.hub.index import Entry, Index
from edgewise.hub.resolve import resolve
from edgewise.hub.sources import load_index
from edgewise.hub.write import add, composed_of, entry_of, part_of, stating, variant_of
from edgewise.store.adapter import AdapterConfig, tensors_id
from edgewise.store.folder import Folder
from edgewise.store.manifest import Demands, Quantised, TensorRef
from tests.hub.test_index import SCHEMA
from tests.store.models import manifest_of, random_bytes

MODEL = replace(
    manifest_of(random_bytes(60), [10, 20, 30]),
    name="tiny", license="mit", demands=Demands(60, 8, 2, 50, 4096),
)  # fmt: skip
ROUNDED = replace(MODEL, name="tiny-int8", quantised=Quantised("int8", 3, 21_000))


def typed(type: str, format: str = "gguf") -> Any:
    tensors = {name: replace(t, type=type) for name, t in MODEL.tensors.items()}
    return replace(MODEL, tensors={**tensors, "norm": TensorRef("F32", (1,), 0, 4)},
                   file=replace(MODEL.file, format=format))  # fmt: skip


def test_what_is_read_off_a_manifest() -> None:
    variant = variant_of(ROUNDED, "tiny.manifest.json", needs=["webgpu"])
    entry = entry_of(ROUNDED, variant)
    assert (entry.name, entry.task, entry.license) == ("tiny", "text-generation", "mit")
    assert (variant.name, variant.quantisation, variant.fidelity) == ("int8", "int8", 0.979)
    assert variant.parts == (part_of(MODEL, "tiny.manifest.json"),)
    assert (variant.nbytes, variant.memory) == (60, 60 + 8 * 2048)
    assert (variant.flops_per_token, variant.nbytes_per_token) == (2, 50)
    assert variant.needs == {"webgpu"}


@pytest.mark.parametrize(
    ("type", "format", "name", "quantisation", "fidelity"),
    [
        ("F32", "safetensors", "f32", None, 1.0),
        ("BF16", "safetensors", "bf16", None, 1.0),
        ("F16", "gguf", "f16", None, 1.0),
        ("Q8_0", "gguf", "q8_0", "Q8_0", 0.995),
        ("Q4_1", "gguf", "q4_1", "Q4_1", 0.921),
        ("IQ2_XS", "gguf", "iq2_xs", "IQ2_XS", 0.605),
    ],
)
def test_types(
    type: str, format: str, name: str, quantisation: str | None, fidelity: float
) -> None:
    variant = variant_of(typed(type, format), "m.json")
    assert (variant.name, variant.quantisation) == (name, quantisation)
    assert variant.fidelity == fidelity


def test_one_variant_of_several_components() -> None:
    encoder, decoder = (replace(MODEL, name=name) for name in ("encoder", "decoder"))
    variant = composed_of([(encoder, "encoder.json"), (decoder, "decoder.json")], ["webgpu"])
    assert variant.parts == (
        part_of(encoder, "encoder.json", "encoder"), part_of(decoder, "decoder.json", "decoder"),
    )  # fmt: skip
    assert (variant.nbytes, variant.memory) == (120, 2 * (60 + 8 * 2048))
    index = Index((stating(entry_of(encoder, variant), {"name": "speech", "pairs": ()}),))
    data = json.loads(index.to_json())
    assert data["components"]["encoder"] == {"manifest": "encoder.json", "nbytes": 60}
    assert data["entries"][0]["name"] == "speech"


ADAPTER = replace(
    MODEL, name="poet", task="adapter", license=None,
    config=AdapterConfig("tiny", tensors_id(MODEL) or "", {}).to_dict(),
)  # fmt: skip


def test_an_adapter_goes_on_the_weights_that_it_was_made_for() -> None:
    base, adapter = variant_of(MODEL, "tiny.json"), variant_of(ADAPTER, "poet.json")
    other = replace(variant_of(typed("F16"), "f16.json"), name="other")
    index = add(Index(), replace(entry_of(MODEL, base), variants=(base, other), version="1.0.0"))
    index = Index.from_json(add(index, entry_of(ADAPTER, adapter)).to_json())
    assert index.entries[1].task == "text-generation"
    names = [choice.candidate.name for choice in resolve("text-generation", index=index)]
    assert names == ["tiny 1.0.0 i8", "tiny 1.0.0 other", "poet i8 on tiny 1.0.0 i8"]
    alone = replace(index.entries[0], variants=(other,))
    *_, last = resolve("text-generation", index=Index((alone, index.entries[1])))
    assert (last.candidate.name, last.accepted) == ("poet i8", False)
    assert last.reason.startswith("it was made for other weights than those of its base")


def test_an_adapter_without_its_base_is_not_added() -> None:
    with pytest.raises(InputError, match=r"an index without 'tiny'.*in the index"):
        add(Index(), entry_of(ADAPTER, variant_of(ADAPTER, "poet.json")))


def test_an_entry_is_added_or_changed() -> None:
    first = entry_of(MODEL, variant_of(MODEL, "tiny.json"))
    second = replace(entry_of(ROUNDED, variant_of(ROUNDED, "int8.json")), quality=0.5, license=None)
    both = add(add(Index(), first), second)
    (entry,) = both.entries
    assert [variant.name for variant in entry.variants] == ["i8", "int8"]
    assert (entry.license, entry.quality) == ("mit", 0.5)
    assert add(both, second) == both
    newer = add(both, replace(first, version="1.1.0"))
    assert [each.version for each in newer.entries] == [None, "1.1.0"]


def test_what_is_written_is_as_the_schema_says() -> None:
    entry = entry_of(ROUNDED, composed_of([(ROUNDED, "m.json"), (MODEL, "n.json")], ["b", "a"]))
    full = replace(entry, languages=("en",), version="1.0.0", quality=0.25)
    text = add(add(Index(), full), Entry("t", "translation", builtin="Translator")).to_json()
    Draft202012Validator(SCHEMA).validate(json.loads(text))
    assert Index.from_json(text).to_json() == text


class Network:
    """A host with these texts at these addresses, until it is unplugged."""

    def __init__(self, texts: Mapping[str, str], store: Path) -> None:
        self.texts, self.store = texts, Folder(store)

    async def fetch_text(self, url: str) -> str:
        if url not in self.texts:
            raise DownloadError(f"download of {url}")
        return self.texts[url]


def test_sources_are_merged_and_there_without_a_network(tmp_path: Path) -> None:
    first, second = "https://a.test/x/index.json", "https://b.test/index.json"
    entry = replace(entry_of(MODEL, variant_of(MODEL, "m.json")), version="1.0.0")
    other = replace(entry, version="1.1.0", license="cc0-1.0")
    denied = replace(entry, license="cc0-1.0", variants=())
    denied = replace(denied, variants=(replace(entry.variants[0], name="q2"),))
    network = Network({
        first: Index((entry,)).to_json(), second: Index((denied, other)).to_json()
    }, tmp_path)  # fmt: skip
    host = cast(Host, network)
    index, conflicts = asyncio.run(load_index(host, [first, second]))
    assert [str(each) for each in conflicts] == [
        f"{second} has another license of tiny 1.0.0; {first} came first"
    ]
    manifests = [v.parts[0].manifest for each in index.entries for v in each.variants]
    assert manifests == ["https://a.test/x/m.json", "https://b.test/m.json",
                         "https://b.test/m.json"]  # fmt: skip
    network.texts = {}
    assert asyncio.run(load_index(host, [first, second])) == (index, conflicts)
    with pytest.raises(DownloadError):
        asyncio.run(load_index(host, ["https://c.test/index.json"]))
