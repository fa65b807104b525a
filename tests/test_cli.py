"""The command line, as a person meets it: output, messages, exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import onnx
import pytest
from click.testing import CliRunner, Result

from edgewise import __version__
from edgewise.cli import main
from edgewise.server.app import create_app
from edgewise.store.manifest import Manifest
from tests.importers.tiny_bert import TINY
from tests.serving import Server, engine_of, running, until_ready
from tests.store.variants import with_tensors
from tests.tiny_chat import TinyChat

PATH = {"PYTHONPATH": str(Path(__file__).parents[1] / "pyapp")}
RUN = [sys.executable, "-c", "from edgewise.cli import main; main()"]


@pytest.fixture(scope="module")
def server(tiny: TinyChat, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    engine = engine_of(tiny, tmp_path_factory.mktemp("store"))
    with running(create_app(engine, token="open"), engine) as it:
        yield until_ready(it)


def edgewise(*args: str | Path, **environment: str) -> Result:
    return CliRunner().invoke(main, list(map(str, args)), env=environment)


def test_help_names_every_command_and_starts_without_the_heavy_parts() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from edgewise.cli import main\n"
        "print(CliRunner().invoke(main, ['-h']).output)\n"
        "print({'wgpu', 'numpy', 'httpx', 'uvicorn', 'tokenizers'} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env={**os.environ, **PATH})  # fmt: skip
    assert {"pack", "serve", "chat", "doctor"} <= set(re.findall(r"^  (\w+)  ", told.stdout, re.M))
    assert told.stdout.endswith("set()\n")


def test_the_version() -> None:
    assert edgewise("--version").output == f"edgewise, version {__version__}\n"


def test_pack_writes_a_manifest_and_leaves_the_file(tiny: TinyChat, tmp_path: Path) -> None:
    model = tiny.manifest.parent / "tiny.gguf"
    before = model.read_bytes()
    told = edgewise("pack", model, "-o", tmp_path / "out")
    assert told.exit_code == 0, told.output
    (path,) = (tmp_path / "out").glob("*.manifest.json")
    assert path.name in told.output.replace("\n", "")
    manifest = Manifest.from_json(path.read_text())
    assert manifest.file.nbytes == len(before)
    assert model.read_bytes() == before


def test_pack_in_8_bits_says_what_is_lost(tmp_path: Path) -> None:
    told = edgewise("pack", TINY.write(tmp_path / "bert"), "-o", tmp_path, "--quantise", "int8")
    assert told.exit_code == 0, told.output
    assert (tmp_path / "bert-int8.manifest.json").is_file()
    assert re.search(r"13 matrices in 8 bits; error of the worst: 0\.\d\d %", told.stderr)


def test_pack_says_what_is_there_already(tmp_path: Path) -> None:
    model = replace(TINY, hidden=192, ffn=768)
    folder = model.write(tmp_path / "old")
    edgewise("pack", folder, "-o", tmp_path / "packed")
    changed = {name: array for name, array in replace(model, seed=9).weights().items()
               if name.startswith("encoder.layer.0.")}  # fmt: skip
    newer = with_tensors(folder, tmp_path / "new", changed)
    (tmp_path / "store" / "objects").mkdir(parents=True)
    told = edgewise("pack", newer, "-o", tmp_path / "packed",
                    "--against", tmp_path / "packed" / "old.manifest.json",
                    "--against", tmp_path / "store")  # fmt: skip
    assert told.exit_code == 0, told.output
    first, second = re.findall(r"(\S+ MB) of (\S+ MB) are in .*?: (\S+ MB) are left",
                               told.stderr)  # fmt: skip
    whole = f"{sum(array.nbytes for array in model.weights().values()) / 1e6:.1f} MB"
    assert first[1:] == (whole, f"{sum(array.nbytes for array in changed.values()) / 1e6:.1f} MB")
    assert second == ("0.0 MB", whole, whole)
    refused = edgewise("pack", newer, "-o", tmp_path / "packed", "--against", folder)
    assert (refused.exit_code, refused.stderr.split(":")[0]) == (2, "InputError")


@pytest.mark.parametrize("content", [b"", b"GGUF", b"not a model at all"])
def test_pack_of_a_broken_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.gguf").write_bytes(content)
    told = edgewise("pack", tmp_path / "bad.gguf", "-o", tmp_path)
    assert told.exit_code == 2
    assert told.stderr.startswith(("FormatError: ", "NeedMoreBytes: "))
    assert "Traceback" not in told.output
    assert re.search(r"^  where ", told.stderr, re.M)


def test_pack_of_onnx_names_every_operator_that_is_unknown(tmp_path: Path) -> None:
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2])
    chain = [("Foo", "x", "a"), ("Relu", "a", "b"), ("Bar", "b", "y")]
    nodes = [onnx.helper.make_node(op, [given], [out]) for op, given, out in chain]
    made = onnx.ValueInfoProto(name="y")
    graph = onnx.helper.make_graph(nodes, "g", [value], [made])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "odd.onnx")
    told = edgewise("pack", tmp_path / "odd.onnx", "-o", tmp_path / "out")
    assert told.exit_code == 2
    assert told.stderr.startswith("UnsupportedError: ")
    assert "Foo" in told.stderr
    assert "Bar" in told.stderr
    assert not (tmp_path / "out").exists()


def test_an_answer_from_a_server(tiny: TinyChat, server: Server) -> None:
    ask = {"role": "user", "content": "hi there"}
    told = edgewise("chat", "hi there", "--server", server.url, "--max-tokens", "8",
                    EDGEWISE_TOKEN="open")  # fmt: skip
    assert told.exit_code == 0, told.output
    text = tiny.tokenizer.decode(tiny.greedy(tiny.prompt(ask), 8))
    assert told.stdout == text + "\n"
    assert "8 tokens" in told.stderr
    assert "server" in told.stderr


@pytest.mark.parametrize("target", ["reference", pytest.param("webgpu", marks=pytest.mark.gpu)])
def test_an_answer_from_this_machine(tiny: TinyChat, tmp_path: Path, target: str) -> None:
    ask = {"role": "user", "content": "hi there"}
    told = edgewise("chat", "hi there", "--model", tiny.manifest, "--max-tokens", "8",
                    "--policy", "local", "--target", target,
                    EDGEWISE_STORE=str(tmp_path))  # fmt: skip
    assert told.exit_code == 0, told.output
    assert told.stdout == tiny.tokenizer.decode(tiny.greedy(tiny.prompt(ask), 8)) + "\n"


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["hi"], "InputError", "--model MANIFEST"),
        (["hi", "--server", "http://127.0.0.1:1"], "ServerError", "edgewise serve"),
        (["hi", "--model", "none.json"], "DownloadError", "none.json"),
        (["hi", "--policy", "server"], "RouteError", "server"),
    ],
)
def test_chat_that_cannot_be(args: list[str], code: str, text: str, tmp_path: Path) -> None:
    told = edgewise("chat", *args, EDGEWISE_STORE=str(tmp_path))
    assert told.exit_code == 2
    assert told.stderr.startswith(f"{code}: ")
    assert text in told.stderr.replace("\n", " ")
    assert told.stdout == ""


def test_a_wrong_token_is_said(server: Server) -> None:
    told = edgewise("chat", "hi", "--server", server.url, "--token", "wrong")
    assert (told.exit_code, told.stdout) == (2, "")
    assert "401" in told.stderr


def test_the_debug_switch_brings_the_traceback(tmp_path: Path) -> None:
    told = subprocess.run(
        [*RUN, "chat", "hi"], capture_output=True, text=True, check=False,
        env={**os.environ, **PATH, "EDGEWISE_DEBUG": "1", "EDGEWISE_STORE": str(tmp_path)},
    )  # fmt: skip
    assert told.returncode == 1
    assert "Traceback" in told.stderr


def test_doctor_tells_of_every_adapter() -> None:
    told = edgewise("doctor")
    assert told.exit_code == 0, told.output
    adapter, wasm = ("shader-f16", "subgroups", "largest buffer"), ("SIMD", "threads", "as wasm")
    for fact in (*adapter, *wasm, "GB/s", "G/s", "Store: "):
        assert fact in told.stdout


def test_serve_without_anything_to_serve() -> None:
    told = edgewise("serve")
    assert told.exit_code == 2
    assert "--site DIR" in told.stderr


def test_serve_on_a_taken_port(server: Server, tiny: TinyChat) -> None:
    port = server.url.rsplit(":", 1)[1]
    told = edgewise("serve", "--site", tiny.manifest.parent, "--port", port)
    assert told.exit_code == 2
    assert "choose another --port" in told.stderr


def test_serve_takes_the_sites_first_model_and_ends_on_a_signal(
    tiny: TinyChat, tmp_path: Path
) -> None:
    site = tiny.manifest.parent
    (site / "build.json").write_text(json.dumps({"models": [tiny.manifest.name]}))
    (site / "index.html").write_text("hello")
    env = {**os.environ, **PATH, "EDGEWISE_STORE": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    command = [*RUN, "serve", "--site", str(site), "--port", "0", "--target", "wasm"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        (url,) = re.findall(r"http://[\d.:]+", process.stdout.readline())
        with httpx.Client(base_url=url, timeout=20) as http:
            assert http.get("/").text == "hello"
            assert http.get("/healthz").json()["model"] == tiny.name
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
