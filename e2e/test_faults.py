"""What goes wrong is named in the page, costs no token, and the next question is answered.

The model is a tiny random one, so that a test takes seconds; the page, its worker and the server
are the real ones. Every answer is compared with a float64 computation that shares no code.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import gguf
import pytest
from playwright.sync_api import Page, expect

from e2e.asking import BOOT_MS, ask, exchange, new_conversation, shown_error, token_ids
from e2e.browsers import engines
from e2e.conftest import BUILT_SITE
from e2e.server import SiteServer
from edgewise.host.base import Target
from edgewise.server.app import create_app
from tests.serving import Server, engine_of, running, until_ready
from tests.tiny_chat import CONTEXT, TinyChat, make

Changed = Callable[[Mapping[str, str]], SiteServer]
QUESTION = "Tell me a secret"
#: Put before the shim that asks for devices: whoever asks for "destroy" takes the last one away.
KEEP_DEVICES = """
const { requestDevice } = GPUAdapter.prototype;
const devices = [];
GPUAdapter.prototype.requestDevice = async function (...args) {
  const device = await requestDevice.apply(this, args);
  devices.push(device);
  return device;
};
const channel = new BroadcastChannel("devices");
channel.onmessage = ({ data }) => {
  if (data === "destroy") devices.at(-1).destroy();
  channel.postMessage(devices.length);
};
"""
TELL = """(word) => new Promise((resolve) => {
  const channel = new BroadcastChannel("devices");
  channel.onmessage = ({ data }) => resolve(data);
  channel.postMessage(word);
})"""


#: Put before the first thread's script: says when it hands over its second batch of tokens.
SAY_WHEN = """
const { postMessage } = MessagePort.prototype;
let batches = 0;
MessagePort.prototype.postMessage = function (data, transfer) {
  postMessage.call(this, data, transfer);
  if (data?.tokens && ++batches === 2) new BroadcastChannel("threads").postMessage("now");
};
"""
#: Put before the page's script, which starts the threads: then the last one called NAME is ended.
END_A_THREAD = """
let latest;
globalThis.Worker = class extends Worker {
  constructor(script, options) {
    super(script, options);
    if (options.name === "NAME") latest = this;
  }
};
const end = () => latest.terminate();
new BroadcastChannel("threads").addEventListener("message", end, { once: true });
"""
#: Put before the shim of Wasm's memory: room for the check, none for a model.
NO_MEMORY = """
WebAssembly.Memory.prototype.grow = () => { throw new RangeError("no more memory"); };
const { take } = Arena.prototype;
Arena.prototype.take = function (nbytes) {
  return nbytes < 1 << 19 ? take.call(this, nbytes) : null;
};
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyChat:
    return make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def hosted(tiny: TinyChat, site_server: Callable[[Path], SiteServer]) -> SiteServer:
    """The tiny model's files on a host of their own."""
    return site_server(tiny.manifest.parent)


def address(
    site: SiteServer,
    hosted: SiteServer,
    tiny: TinyChat,
    n_tokens: int = 5,
    target: Target = "webgpu",
) -> str:
    """The page with the tiny model, which must answer on this device."""
    asked = f"policy=local&target={target}&tokens={n_tokens}"
    return f"{site.url}/?{asked}&model={hosted.url}/{tiny.manifest.name}"


@pytest.fixture
def changed(tmp_path: Path, site_server: Callable[[Path], SiteServer]) -> Changed:
    """A function: the site, served, with scripts put before some of its shims."""

    def change(scripts: Mapping[str, str]) -> SiteServer:
        folder = tmp_path / "site"
        shutil.copytree(BUILT_SITE, folder, ignore=shutil.ignore_patterns("models"))
        for name, script in scripts.items():
            shim = folder / "shims" / name
            shim.write_text(script + shim.read_text())
        return site_server(folder)

    return change


def answered(page: Page, number: int, tiny: TinyChat, question: str, n_tokens: int = 5) -> None:
    """The exchange ends with the tokens that must follow, as a conversation's first."""
    exchange(page, number, "done")
    prompt = tiny.prompt({"role": "user", "content": question})
    assert token_ids(page, number) == tiny.greedy(prompt, n_tokens)


def failed(page: Page, number: int, code: str) -> None:
    exchange(page, number, "failed")
    shown_error(page, code)


@engines("chromium", "firefox")
def test_files_that_are_no_model(
    page: Page,
    site: SiteServer,
    tiny: TinyChat,
    tmp_path: Path,
    site_server: Callable[[Path], SiteServer],
) -> None:
    """By its address alone: a file that was cut, one of an architecture we do not know."""
    whole = (tiny.manifest.parent / "tiny.gguf").read_bytes()
    path = tmp_path / "it.gguf"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    page.goto(f"{site.url}/?policy=local&tokens=5&model={site_server(tmp_path).url}/it.gguf")
    box = shown_error(page, "FormatError")
    expect(box.locator("[data-part=found]")).to_contain_text("byte")
    ask(page, QUESTION)
    failed(page, 1, "FormatError")

    writer = gguf.GGUFWriter(path, "bert")
    writer.add_block_count(1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    ask(page, QUESTION)
    failed(page, 2, "UnsupportedError")
    expect(box).to_contain_text("'bert'")

    path.write_bytes(whole)
    ask(page, QUESTION)
    answered(page, 3, tiny, QUESTION)
    expect(box).to_be_hidden()


@engines("chromium", "firefox")
def test_questions_without_an_answer(
    page: Page, site: SiteServer, hosted: SiteServer, tiny: TinyChat
) -> None:
    page.goto(address(site, hosted, tiny))
    ask(page, " ")
    shown_error(page, "EmptyPromptError")
    expect(page.locator(".exchange")).to_have_count(0)
    long = "no end " * CONTEXT
    ask(page, long)
    failed(page, 1, "ContextOverrunError")
    expect(page.get_by_role("alert")).to_contain_text(f"fewer than the {CONTEXT} of this session")
    ask(page, QUESTION)
    answered(page, 2, tiny, QUESTION)


@engines("chromium")  # no other browser lets a test set the quota of a page
def test_full_quota(page: Page, site: SiteServer, hosted: SiteServer, tiny: TinyChat) -> None:
    browser = page.context.new_cdp_session(page)
    origin = {"origin": site.url}
    browser.send("Storage.overrideQuotaForOrigin", {**origin, "quotaSize": 20_000})
    page.goto(address(site, hosted, tiny))
    shown_error(page, "QuotaError")
    ask(page, QUESTION)
    failed(page, 1, "QuotaError")
    browser.send("Storage.overrideQuotaForOrigin", origin)
    ask(page, QUESTION)
    answered(page, 2, tiny, QUESTION)


@engines("chromium", "firefox_no_gpu")
def test_server_that_goes_and_comes_back(page: Page, tiny: TinyChat, tmp_path: Path) -> None:
    def serving(port: int) -> AbstractContextManager[Server]:
        engine = engine_of(tiny, tmp_path)
        return running(create_app(engine, site=BUILT_SITE), engine, port)

    with serving(port=0) as server:
        until_ready(server)
        page.goto(f"{server.url}/?policy=server&tokens=5")
        expect(page.get_by_role("status")).to_contain_text("Ready", timeout=BOOT_MS)
    ask(page, QUESTION)
    failed(page, 1, "ServerError")
    expect(page.get_by_role("alert")).to_contain_text("edgewise serve")
    with serving(int(server.url.rsplit(":", 1)[1])) as server:
        until_ready(server)
        ask(page, QUESTION)
        answered(page, 2, tiny, QUESTION)


@engines("chromium", "firefox")
def test_device_lost_in_mid_answer(
    page: Page,
    hosted: SiteServer,
    tiny: TinyChat,
    changed: Changed,
) -> None:
    """The session rebuilds on another device and continues where it was."""
    n_tokens = 200
    page.goto(address(changed({"webgpu.js": KEEP_DEVICES}), hosted, tiny, n_tokens))
    ask(page, QUESTION)
    note = page.locator("#echo-1 .note")
    expect(note).to_have_text("Answering…", timeout=BOOT_MS)
    n_devices = page.evaluate(TELL, "destroy")
    before = len(token_ids(page, 1))
    assert 0 < before < n_tokens
    answered(page, 1, tiny, QUESTION, n_tokens)
    assert page.evaluate(TELL, "count") == n_devices + 1
    expect(page.get_by_role("alert")).to_be_hidden()


@engines("chromium", "firefox_no_gpu")
@pytest.mark.parametrize("thread", ["the first thread", "a helper thread"])
def test_thread_lost_in_mid_answer(
    page: Page, hosted: SiteServer, tiny: TinyChat, changed: Changed, thread: str
) -> None:
    """The session rebuilds on one thread, continues where it was, and the page says so."""
    n_tokens = 40
    end = END_A_THREAD.replace("NAME", thread)
    site = changed({"wasm_worker.js": SAY_WHEN, "page.js": end})
    page.goto(address(site, hosted, tiny, n_tokens, "wasm"))
    ask(page, QUESTION)
    answered(page, 1, tiny, QUESTION, n_tokens)
    said = ""
    for n in range(2, 100):  # a helper's end is seen when the browser tells of it
        new_conversation(page)
        ask(page, QUESTION)
        answered(page, n, tiny, QUESTION, n_tokens)
        said = page.locator(f"#echo-{n} .note").text_content() or ""
        if "lost" in said:
            break
    assert "on this device (Wasm, 1 thread: a thread was lost)" in said
    expect(page.get_by_role("alert")).to_be_hidden()


@engines("chromium", "firefox_no_gpu")
def test_memory_that_cannot_grow(
    page: Page, hosted: SiteServer, tiny: TinyChat, tmp_path: Path, changed: Changed
) -> None:
    """Alone it is an error with a name; where a server is, that answers."""
    site = changed({"wasm_memory.js": NO_MEMORY})
    page.goto(address(site, hosted, tiny, target="wasm"))
    ask(page, QUESTION)
    failed(page, 1, "QuotaError")
    expect(page.get_by_role("alert")).to_contain_text("Wasm memory")
    engine = engine_of(tiny, tmp_path)
    with running(create_app(engine), engine) as server:
        site.upstream = until_ready(server).url
        page.goto(address(site, hosted, tiny, target="wasm").replace("policy=local&", ""))
        ask(page, QUESTION)
        answered(page, 1, tiny, QUESTION)
        expect(page.locator("#echo-1 .answer")).to_have_attribute("data-where", "server")
        expect(page.locator("#candidates")).to_contain_text("Wasm memory")


@engines("chromium", "firefox_no_gpu")
def test_page_without_isolation(
    page: Page, site: SiteServer, hosted: SiteServer, tiny: TinyChat
) -> None:
    """One thread, and the page says why."""
    site.isolated = False
    page.goto(address(site, hosted, tiny, target="wasm"))
    ask(page, QUESTION)
    answered(page, 1, tiny, QUESTION)
    expect(page.locator("#echo-1 .note")).to_contain_text("1 thread: the page is not cross-origin")


@engines("chromium", "firefox")
def test_under_local_no_question_leaves_the_page(
    page: Page, site: SiteServer, hosted: SiteServer, tiny: TinyChat, tmp_path: Path
) -> None:
    """Though a server is there: what is typed is on no wire. Under `server` it is, and is seen."""
    engine = engine_of(tiny, tmp_path)
    with running(create_app(engine), engine) as server:
        site.upstream = until_ready(server).url
        page.goto(address(site, hosted, tiny))
        ask(page, QUESTION)
        answered(page, 1, tiny, QUESTION)
        requests = [*site.log, *hosted.log]
        assert {request.method for request in requests} == {"GET"}
        assert not any(request.text for request in requests)
        assert not [request for request in requests if request.path.startswith("/v1/")]

        page.goto(f"{site.url}/?policy=server&tokens=5")
        ask(page, QUESTION)
        answered(page, 1, tiny, QUESTION)
        assert [request.path for request in site.log if QUESTION in request.text] == [
            "/v1/chat/completions"
        ]
