"""Packing an adapter's folder: a manifest that names its base, and folders that do not fit one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file, save_file

from edgewise.cli import main
from edgewise.errors import EdgewiseError, FormatError, InputError, ShapeError, UnsupportedError
from edgewise.store.adapter import adapter_config, tensors_id
from edgewise.store.manifest import Manifest
from edgewise.store.pack import pack
from tests.store.models import digest
from tests.tiny_adapter import CLERK, TinyAdapter
from tests.tiny_chat import TinyChat

QUERY = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.fixture
def folder(tiny: TinyChat, tmp_path: Path) -> Path:
    return TinyAdapter().write(tmp_path / "My Poet", tiny.model)


def read(path: Path) -> Manifest:
    return Manifest.from_json(path.read_text())


def test_a_packed_adapter(tiny: TinyChat, folder: Path, tmp_path: Path) -> None:
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    manifest = read(pack(folder, tmp_path / "out", base=tiny.manifest))
    assert (manifest.name, manifest.task) == ("my-poet", "adapter")
    assert (manifest.architecture, manifest.license) == ("llama", "mit")
    config, base = adapter_config(manifest), read(tiny.manifest)
    assert (config.base_name, config.base_sha256) == ("tiny", tensors_id(base))
    layers = [f"blk.{i}.attn_{name}.weight" for i in (0, 1) for name in "qv"]
    assert sorted(config.matrices) == layers
    query = config.matrices["blk.0.attn_q.weight"]
    assert (query.down, query.up) == (f"{QUERY}.lora_A.weight", f"{QUERY}.lora_B.weight")
    assert query.scale == 2.0
    data = (tmp_path / "out" / manifest.file.url).read_bytes()
    assert manifest.file.sha256 == digest(data), "the file is not as PEFT wrote it"
    for name, each in manifest.tensors.items():
        span = manifest.segments_of(name)
        assert (span.begin, span.end) == (0, each.nbytes), "a tensor does not begin a segment"
    assert manifest.demands.flops_per_token == 2 * manifest.demands.weight_nbytes // 4


def test_all_matrices_of_a_layer(tiny: TinyChat, tmp_path: Path) -> None:
    folder = CLERK.write(tmp_path / "clerk", tiny.model)
    found = adapter_config(read(pack(folder, tmp_path, base=tiny.manifest))).matrices
    wanted = {name for name, shape in tiny.model.shapes().items() if len(shape) == 2}
    assert found.keys() == wanted - {"token_embd.weight"}


def test_the_command(tiny: TinyChat, folder: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    run = CliRunner().invoke(main, ["pack", str(folder), "--base", str(tiny.manifest), "-o", out])
    assert run.exit_code == 0, run.output
    assert "my-poet.manifest.json" in run.output
    run = CliRunner().invoke(main, ["pack", str(folder), "-o", out])
    assert run.exit_code == 2


Change = Callable[[Path], None]


def tensors(change: Callable[[dict[str, Any]], None]) -> Change:
    """Writes the weights again after `change`."""

    def apply(folder: Path) -> None:
        path = folder / "adapter_model.safetensors"
        found = load_file(path)
        change(found)
        save_file(found, path)

    return apply


def config(**more: Any) -> Change:
    """Writes the config again with these members."""

    def apply(folder: Path) -> None:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | more))

    return apply


def _rename(to: str) -> Change:
    return tensors(lambda found: found.update({to: found.pop(f"{QUERY}.lora_A.weight")}))


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (config(r=2), ShapeError, r"lora_A.*\[3, 64\].*\[2, 64\]"),
        (config(use_dora=True), UnsupportedError, "use_dora"),
        (_rename(f"{QUERY}.lora_magnitude_vector"), UnsupportedError, "lora_magnitude_vector"),
        (_rename("base_model.model.lm_head.lora_A.weight"), UnsupportedError, "lm_head"),
        (_rename(QUERY.replace(".0.", ".7.") + ".lora_A.weight"), UnsupportedError, "layers.7"),
        (_rename(QUERY.replace("q_proj", "z") + ".lora_A.weight"), UnsupportedError, "self_attn.z"),
        (tensors(lambda t: t.pop(f"{QUERY}.lora_A.weight")), FormatError, "lora_B alone"),
        (tensors(lambda t: t.clear()), UnsupportedError, "got none"),
        (
            tensors(lambda t: t.update({f"{QUERY}.lora_A.weight": t.pop(f"{QUERY}.lora_A.weight")
                                        .astype("float16")})),
            FormatError, "several data types",
        ),
        (lambda folder: (folder / "adapter_model.safetensors").unlink(), FormatError, "adapter_mo"),
        (lambda folder: (folder / "adapter_config.json").write_text("{"), FormatError, "not JSON"),
    ],
)  # fmt: skip
def test_a_folder_that_does_not_fit_is_refused(
    tiny: TinyChat, folder: Path, tmp_path: Path, change: Change,
    error: type[EdgewiseError], says: str,
) -> None:  # fmt: skip
    change(folder)
    with pytest.raises(error, match=says):
        pack(folder, tmp_path / "out", base=tiny.manifest)
    assert not (tmp_path / "out").exists()


def test_a_base_is_needed_and_must_be_one(tiny: TinyChat, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--base"):
        pack(folder, tmp_path)
    with pytest.raises(InputError, match="a base"):
        pack(tiny.manifest.with_name("tiny.gguf"), tmp_path, base=tiny.manifest)
    base = read(tiny.manifest)
    unhashed = tmp_path / "unhashed.json"
    unhashed.write_text(base.with_hashes([None] * len(base.segments)).to_json())
    with pytest.raises(InputError, match="without hashes"):
        pack(folder, tmp_path, base=unhashed)
    with pytest.raises(InputError, match="is no adapter"):
        adapter_config(base)


@pytest.mark.parametrize(
    "broken",
    [
        lambda c: c["base"].update(sha256="1"),
        lambda c: c["matrices"].update(x=["a", "b", 1]),
        lambda c: c["matrices"]["blk.0.attn_q.weight"].pop(),
        lambda c: c["matrices"]["blk.0.attn_q.weight"].reverse(),
        lambda c: c["matrices"]["blk.0.attn_q.weight"].__setitem__(2, "2"),
    ],
)
def test_a_broken_manifest_says_where(
    tiny: TinyChat, folder: Path, tmp_path: Path, broken: Callable[[Any], None]
) -> None:
    data = json.loads(pack(folder, tmp_path, base=tiny.manifest).read_text())
    broken(data["config"])
    with pytest.raises(FormatError) as caught:
        adapter_config(Manifest.from_json(json.dumps(data)))
    assert str(caught.value.where).startswith("$.config")
