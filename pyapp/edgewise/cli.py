"""The command line: `edgewise pack | serve | chat | doctor | store`.

Each command only reads its options, calls the layer that does the work, and prints. An error of
Edgewise's ends with exit code 2 and no traceback, unless EDGEWISE_DEBUG is set. Imports happen
in the commands, so that `--help` is quick.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

from . import __version__, debug
from .cli_hub import hub
from .cli_store import store
from .errors import EdgewiseError, FormatError, HostError, InputError
from .hub.words import megabytes
from .router.place import Policy

if TYPE_CHECKING:
    import socket

    from .host.base import Host, Target
    from .router.predict import Rates
    from .runtime.session import Progress as LoadProgress
    from .runtime.session import Sampling
    from .server.engine import OpenChat
    from .store.manifest import Manifest
    from .targets.device import DeviceFacts
    from .tasks.chat import Chat

FAILED = 2
OUT, ERR = Console(highlight=False), Console(stderr=True, highlight=False)
FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
TARGET = click.Choice(("webgpu", "wasm", "reference"))


class Commands(click.Group):
    """Turns an `EdgewiseError` into a message and an exit code."""

    def invoke(self, ctx: click.Context) -> object:
        """See `click.Group`."""
        try:
            return super().invoke(ctx)
        except EdgewiseError as error:
            if debug.level():
                raise
            print_error(error)
            ctx.exit(FAILED)


def print_error(error: EdgewiseError) -> None:
    """Every field of an error that is set, one a line."""
    ERR.print(Text(f"{error.code}: {error.what}", style="bold red"))
    for name in ("got", "need", "where", "fix"):
        value = getattr(error, name)
        if value:
            ERR.print(Text(f"  {name:<5} ", style="bold").append(value, style="default"))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgewise")
def main() -> None:
    """Python AI that runs in the browser when it can and on your server when it must."""


main.add_command(hub)
main.add_command(store)


@main.command()
@click.argument("model", type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--out", type=FOLDER, required=True, help="Where the manifest goes.")
@click.option("--quantise", type=click.Choice(["int8"]),
              help="Pack a variant with matrices in 8 bits.")  # fmt: skip
@click.option("--base", type=FILE, help="The manifest of what an adapter adapts.")
@click.option("--against", type=click.Path(exists=True, path_type=Path), multiple=True,
              help="A manifest or a store: say what is there already.")  # fmt: skip
def pack(
    model: Path,
    out: Path,
    quantise: Literal["int8"] | None,
    base: Path | None,
    against: tuple[Path, ...],
) -> None:
    """Write the manifest of a GGUF file, an ONNX file, a Hugging Face folder of an encoder, or of
    a LoRA adapter as PEFT saves it, which needs --base.

    Of a model in several files, name the first. The weights themselves stay as they are, unless
    --quantise writes a variant of them.
    """
    from .store.pack import pack as pack_model

    written = pack_model(model, out, quantise, base)
    OUT.print(Text(str(written)), soft_wrap=True)
    manifest = _read_manifest(written)
    for other in against:
        _print_shared(manifest, other)
    lost = manifest.quantised
    if lost is not None:
        ERR.print(f"{lost.matrices} matrices in 8 bits; error of the worst: "
                  f"{lost.error_ppm / 1e4:.2f} % of its values (root mean square)")  # fmt: skip


def _print_shared(manifest: Manifest, other: Path) -> None:
    from .store.folder import Folder
    from .store.shared import shared

    there: set[str]
    if not other.is_dir():
        there = {each.hash for each in _read_manifest(other).segments if each.hash is not None}
    elif (other / "objects").is_dir():
        there = {*asyncio.run(Folder(other).list())}
    else:
        raise InputError("--against", got=f"the folder {other}", need="a manifest or a store")
    found = shared(manifest, there)
    ERR.print(f"{megabytes(found.shared_nbytes)} of {megabytes(found.nbytes)} are in {other}: "
              f"{megabytes(found.nbytes - found.shared_nbytes)} are left to fetch",
              soft_wrap=True)  # fmt: skip


@main.command()
@click.option("--model", type=FILE, help="A manifest; by default the first model of the site.")
@click.option("--site", type=FOLDER, help="A built site to serve next to the API.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
@click.option("--token", envvar="EDGEWISE_TOKEN", help="What clients must send as bearer token.")
@click.option("--target", type=TARGET, help="Which engine runs the model; the fastest by default.")
def serve(
    model: Path | None,
    site: Path | None,
    host: str,
    port: int,
    token: str | None,
    target: Target | None,
) -> None:
    """Serve a model in OpenAI's form, a site, or both."""
    import uvicorn

    from .host.cpython import CPythonHost
    from .server.app import create_app
    from .server.engine import Engine

    model = model or _model_of_site(site)
    if model is None and site is None:
        raise InputError("nothing to serve", need="--model MANIFEST, --site DIR, or both")
    engine = None
    if model is not None:
        opener = _opener(CPythonHost, str(model.absolute()), target)
        engine = Engine(_read_manifest(model).name, opener)
    app = create_app(engine, site=site, token=token)
    listener = _listen(host, port)
    address, taken = listener.getsockname()[:2]
    OUT.print(f"Edgewise serves http://{address}:{taken} (Ctrl+C ends it)")
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5)
    with suppress(KeyboardInterrupt):  # uvicorn raises it again after it has shut down
        uvicorn.Server(config).run(sockets=[listener])


def _model_of_site(site: Path | None) -> Path | None:
    """The manifest that the site's build names first."""
    index = site / "build.json" if site else None
    if site is None or index is None or not index.is_file():
        return None
    models = json.loads(index.read_text()).get("models", [])
    return site / models[0] if models else None


def _read_manifest(path: Path) -> Manifest:
    from .store.manifest import Manifest

    try:
        return Manifest.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(
            "the manifest cannot be read",
            got=str(error),
            fix="make one with `edgewise pack model.gguf -o DIR`",
        ) from None


def _opener(make_host: Callable[[], Host], url: str, target: Target | None) -> OpenChat:
    async def open_chat(on_progress: Callable[[LoadProgress], None]) -> Chat:
        from .tasks.chat import Chat

        return await Chat.open(
            make_host(), url, policy="local", target=target, on_progress=on_progress
        )

    return open_chat


def _listen(host: str, port: int) -> socket.socket:
    import socket

    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise HostError(
            f"cannot listen on {host}:{port}", got=error.strerror, fix="choose another --port"
        ) from None


@main.command()
@click.argument("question")
@click.option("--model", help="A manifest or a .gguf, by path, URL or hf://org/name/file.")
@click.option("--server", help="Address of an Edgewise server, such as http://127.0.0.1:8000.")
@click.option("--policy", type=click.Choice(get_args(Policy)), default="auto", show_default=True)
@click.option("--target", type=TARGET, help="Which engine here; the fastest by default.")
@click.option("--token", envvar="EDGEWISE_TOKEN", help="The server's bearer token.")
@click.option("--max-tokens", default=256, show_default=True, type=click.IntRange(1))
@click.option("--temperature", default=0.0, show_default=True, type=click.FloatRange(0, 2))
@click.option("--seed", default=0, show_default=True)
def chat(
    question: str,
    model: str | None,
    server: str | None,
    policy: Policy,
    target: Target | None,
    token: str | None,
    max_tokens: int,
    temperature: float,
    seed: int,
) -> None:
    """Ask a question; the answer streams to the terminal."""
    from .runtime.session import Sampling

    if model is None and policy == "auto" and server is not None:
        policy = "server"
    if model is None and policy != "server":
        raise InputError("no model", need="--model MANIFEST, or --server ADDRESS")
    if model is not None and Path(model).is_file():
        model = str(Path(model).absolute())  # the store knows it by its address
    sampling = Sampling(temperature=temperature, seed=seed)
    opening = {"policy": policy, "target": target, "server": server, "token": token}
    asyncio.run(_answer(question, model or "", opening, max_tokens, sampling))


async def _answer(
    question: str,
    model: str,
    opening: dict[str, Any],
    max_tokens: int,
    sampling: Sampling,
) -> None:
    from .host.cpython import CPythonHost
    from .tasks.chat import Chat

    with _bars() as bars:
        chat = await Chat.open(CPythonHost(), model, **opening, on_progress=_reporter(bars))
    try:
        messages = [{"role": "user", "content": question}]
        pieces = chat.stream(messages, max_new_tokens=max_tokens, sampling=sampling)
        async with aclosing(pieces):
            async for piece in pieces:
                sys.stdout.write(piece.text)
                sys.stdout.flush()
        sys.stdout.write("\n")
        stats = chat.stats
        ERR.print(
            f"{stats.tokens} tokens, {stats.tokens_per_second:.1f} a second,"
            f" the first after {stats.first_token_ms:.0f} ms; {chat.where.where}:"
            f" {chat.where.reason}",
            style="dim",
        )
    finally:
        await chat.close()


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=ERR,
        transient=True,
        disable=not ERR.is_terminal,
    )


def _reporter(bars: Progress) -> Callable[[LoadProgress], None]:
    """Shows each stage of loading as a bar."""
    shown = {}

    def report(progress: LoadProgress) -> None:
        if progress.stage not in shown:
            shown[progress.stage] = bars.add_task(progress.stage)
        bars.update(shown[progress.stage], completed=progress.done, total=progress.total)

    return report


@main.command()
def doctor() -> None:
    """Show what this machine has, and what each thing is good for."""
    from .host.adapters import list_adapters
    from .host.cpython import default_store

    adapters = list_adapters()
    for backend, facts in adapters:
        OUT.print(_table(f"{facts.name}, {backend}", _adapter_rows(facts)))
    if not adapters:
        OUT.print(
            "No WebGPU adapter: models run on the CPU, by Wasm.\n"
            "  fix: where there is a GPU, install its Vulkan driver"
        )
    asyncio.run(_measure())
    OUT.print(f"Store: {default_store()}")


async def _measure() -> None:
    """What the engines that run models do here, and what Wasm has."""
    from .host.cpython import CPythonHost
    from .router.measure import measure
    from .router.probe import TARGETS

    host = CPythonHost()
    for target in TARGETS:
        try:
            device = await host.open_device(target)
        except HostError as error:
            print_error(error)
            continue
        try:
            rows = _wasm_rows(device.facts) if target == "wasm" else []
            rows += _speed_rows(await measure(host, device))
            OUT.print(_table(f"{device.facts.name}, as {target}", rows))
        except EdgewiseError as error:
            print_error(error)
        finally:
            await device.close()


def _table(title: str, rows: Sequence[tuple[str, str, str]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in ("fact", "here", "what it is good for"):
        table.add_column(column)
    for row in rows:
        table.add_row(*row)
    return table


def _wasm_rows(facts: DeviceFacts) -> list[tuple[str, str, str]]:
    relaxed = "relaxed-simd" in facts.features
    return [
        ("SIMD", "128 bits, relaxed" if relaxed else "128 bits",
         "relaxed: fused multiply-adds, dot products of 8-bit integers"),
        ("threads", str(facts.limits["threads"]), "share each step of a model"),
        ("memory", megabytes(facts.limits["maxBufferSize"]), "bounds a model and its state"),
    ]  # fmt: skip


def _speed_rows(rates: Rates) -> list[tuple[str, str, str]]:
    return [
        ("weights read", f"{rates.nbytes / 1e9:.2f} GB/s", "decoding: a token reads them all"),
        ("multiply-adds", f"{rates.madds / 1e9:.1f} G/s", "reading a prompt"),
        ("weights loaded", f"{rates.loaded / 1e9:.2f} GB/s", "opening a model"),
    ]


def _adapter_rows(facts: DeviceFacts) -> list[tuple[str, str, str]]:
    def has(feature: str) -> str:
        return "yes" if feature in facts.features else "no"

    def room(limit: str) -> str:
        return megabytes(facts.limits.get(limit, 0))

    groups = f"{facts.subgroup_min} to {facts.subgroup_max}" if facts.subgroup_max else "unknown"
    return [
        ("kind", "software" if facts.fallback else "hardware", "hardware is many times faster"),
        ("shader-f16", has("shader-f16"), "half precision: half the state, faster prefill"),
        ("subgroups", has("subgroups"), f"faster sums; size here {groups}"),
        ("largest buffer", room("maxBufferSize"), "bounds a model's state"),
        ("largest binding", room("maxStorageBufferBindingSize"), "larger weights are split"),
        (
            "workgroup memory",
            f"{facts.limits.get('maxComputeWorkgroupStorageSize', 0)} bytes",
            "bounds the tiles of matrix kernels",
        ),
    ]
