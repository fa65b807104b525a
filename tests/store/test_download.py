"""The download driver into a real folder from a real host over HTTP, and everything that fails."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from e2e.server import SiteServer
from edgewise.errors import DownloadError, FormatError, HashMismatchError, QuotaError
from edgewise.store.base import Estimate, Run, Segment
from edgewise.store.download import Retry, download
from edgewise.store.folder import Folder
from edgewise.store.manifest import Manifest, TextRef
from edgewise.store.progress import Progress
from tests.store.hostile import host, send, send_range
from tests.store.models import digest, manifest_of, random_bytes, unknown

# over 4096 bytes each, so that no hole is bridged unless a test wants it
SIZES = [60_000, 5_000, 90_000, 7_000, 120_000, 8_000, 64_000, 5_500, 70_000, 9_000]
DATA = random_bytes(sum(SIZES))
MODEL = manifest_of(DATA, SIZES)
STARTS = MODEL.offsets
PATH = "/model.gguf"


@dataclass
class Naps:
    """Stands in for sleeping: what would have been waited."""

    seconds: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SiteServer]:
    root = tmp_path / "site"
    root.mkdir()
    (root / "model.gguf").write_bytes(DATA)
    with SiteServer(root) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "store")


def fetch(
    folder: Folder,
    url: str,
    manifest: Manifest = MODEL,
    *,
    parallel: int = 4,
    tensors: Sequence[str] | None = None,
    naps: Naps | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Manifest:
    retry = Retry(sleep=(naps or Naps()).sleep)
    manifest_url = f"{url}/tiny.manifest.json"
    return asyncio.run(
        download(
            folder, manifest, manifest_url,
            tensors=tensors, parallel=parallel, retry=retry, on_progress=on_progress,
        )
    )  # fmt: skip


def stored(folder: Folder) -> list[bool]:
    return [folder.get(segment.hash or "") is not None for segment in MODEL.segments]


def ranges(server: SiteServer) -> list[tuple[int, int]]:
    """What was asked for: first byte and the byte after the last, of every request."""
    asked = [(r.range or "").removeprefix("bytes=").split("-") for r in server.log]
    return [(int(first), int(last) + 1) for first, last in asked]


def test_a_model_comes_in_few_requests_and_each_byte_once(
    server: SiteServer, folder: Folder
) -> None:
    assert fetch(folder, server.url) == MODEL
    assert all(stored(folder))
    assert len(server.log) <= 6
    assert server.sent(PATH) == len(DATA)
    fetch(folder, server.url)
    assert server.sent(PATH) == len(DATA), "the second download asked again"


def test_tensors_that_are_not_wanted_stay_there(server: SiteServer, folder: Folder) -> None:
    fetch(folder, server.url, tensors=["t2", "t7"])
    assert server.sent(PATH) == SIZES[2] + SIZES[7]
    assert stored(folder) == [i in (2, 7) for i in range(len(SIZES))]


def test_the_tokenizer_comes_along(server: SiteServer, folder: Folder) -> None:
    text = b'{"version": "1.0"}'
    (server.root / "tiny.tokenizer.json").write_bytes(text)
    ref = TextRef(digest(text), len(text), "tiny.tokenizer.json")
    seen: list[Progress] = []
    fetch(folder, server.url, replace(MODEL, tokenizer=ref), on_progress=seen.append)
    assert folder.get(digest(text)) == text
    assert all(stored(folder))
    assert seen[-1].done_nbytes == seen[-1].total_nbytes == len(DATA) + len(text)
    fetch(folder, server.url, replace(MODEL, tokenizer=ref))
    assert server.sent("/tiny.tokenizer.json") == len(text)


def test_a_host_without_range_sends_the_rest_once(server: SiteServer, folder: Folder) -> None:
    server.ranges = False
    fetch(folder, server.url)
    assert all(stored(folder))
    assert len(server.log) == 2, "one to find out, one for all"


def test_a_cut_connection_goes_on_at_the_segment(server: SiteServer, folder: Folder) -> None:
    cut_at = int(len(DATA) * 0.6)
    server.cut(PATH, cut_at)
    naps = Naps()
    fetch(folder, server.url, parallel=1, naps=naps)
    border = max(start for start in STARTS if start <= cut_at)
    assert ranges(server) == [(0, len(DATA)), (border, len(DATA))]
    assert server.sent(PATH) == len(DATA) + cut_at - border
    assert naps.seconds == [0.5]
    assert all(stored(folder))


def test_a_download_that_failed_is_resumed(server: SiteServer, folder: Folder) -> None:
    cut_at = int(len(DATA) * 0.6)
    server.cut(PATH, cut_at, once=False)
    naps = Naps()
    with pytest.raises(DownloadError, match=f"expected {len(DATA) - STARTS[4]}"):
        fetch(folder, server.url, parallel=1, naps=naps)
    assert naps.seconds == [0.5, 1, 2, 4]
    whole = sum(1 for start in STARTS[1:] if start <= cut_at)
    assert stored(folder) == [i < whole for i in range(len(SIZES))]
    server.mend()
    server.log.clear()
    seen: list[Progress] = []
    fetch(folder, server.url, on_progress=seen.append)
    assert server.sent(PATH) == len(DATA) - STARTS[whole]
    assert seen[0].done_nbytes >= STARTS[whole]
    assert all(stored(folder))


@pytest.mark.parametrize("index", range(len(SIZES)))
def test_a_flipped_byte_is_caught_and_only_that_segment_comes_again(
    server: SiteServer, folder: Folder, index: int
) -> None:
    server.flip(PATH, STARTS[index] + 17)
    fetch(folder, server.url, parallel=1)
    after = [asked for asked in ranges(server) if asked[0] == STARTS[index]]
    assert len(after) == (2 if index == 0 else 1)
    assert len(ranges(server)) == 2
    assert all(stored(folder))


def test_a_segment_that_is_wrong_twice(server: SiteServer, folder: Folder) -> None:
    wrong = bytearray(DATA)
    wrong[STARTS[4] + 3] ^= 1
    (server.root / "model.gguf").write_bytes(wrong)
    with pytest.raises(HashMismatchError) as refused:
        fetch(folder, server.url, parallel=1)
    error = refused.value
    assert error.where == f"{server.url}{PATH} bytes {STARTS[4]}-{STARTS[5] - 1}"
    assert error.need == MODEL.segments[4].hash
    assert error.got == digest(bytes(wrong[STARTS[4] : STARTS[5]]))
    assert ranges(server).count((STARTS[4], len(DATA))) == 1
    assert stored(folder) == [i < 4 for i in range(len(SIZES))]


def test_an_object_damaged_in_the_store_is_fetched_again(
    server: SiteServer, folder: Folder
) -> None:
    fetch(folder, server.url)
    server.log.clear()
    hash = MODEL.segments[6].hash or ""
    path = folder.root / "objects" / hash[:2] / hash[2:]
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert folder.get(hash) is None
    fetch(folder, server.url)
    assert ranges(server) == [(STARTS[6], STARTS[7])]
    assert all(stored(folder))


def test_a_small_hole_is_fetched_rather_than_stepped_over(
    server: SiteServer, folder: Folder
) -> None:
    sizes = [200_000, 24, 338_476]
    padded = manifest_of(DATA, sizes)
    manifest = replace(padded, tensors={name: padded.tensors[name] for name in ("t0", "t2")})
    fetch(folder, server.url, manifest, parallel=1)
    assert ranges(server) == [(0, len(DATA))]


def test_no_room_is_said_before_the_first_byte(server: SiteServer, tmp_path: Path) -> None:
    class Small(Folder):
        async def estimate(self) -> Estimate:
            return Estimate(usage=299_600_000, quota=300_000_000)

    with pytest.raises(QuotaError, match="'tiny'") as refused:
        fetch(Small(tmp_path), server.url)
    assert (refused.value.got, refused.value.need) == ("0.4 MB free of 300.0 MB", "0.4 MB")
    assert server.log == []
    fetch(Small(tmp_path), server.url, tensors=["t0"])


def test_room_that_ends_on_the_way(server: SiteServer, tmp_path: Path) -> None:
    class Full(Folder):
        def _take(self, run: Run, index: int, data: memoryview) -> str:
            if index == 3:
                raise QuotaError("the disk has no room for another object", need="1 byte")
            return super()._take(run, index, data)

    naps = Naps()
    with pytest.raises(QuotaError):
        fetch(Full(tmp_path), server.url, parallel=1, naps=naps)
    assert naps.seconds == []
    assert len(server.log) == 1


@pytest.mark.parametrize(("status", "tries"), [(500, 5), (503, 5), (429, 5), (404, 1), (403, 1)])
def test_a_status_that_is_no_answer(folder: Folder, status: int, tries: int) -> None:
    naps = Naps()
    with (
        host(lambda handler, _: send(handler, status)) as (url, asked),
        pytest.raises(DownloadError, match=f"HTTP {status}"),
    ):
        fetch(folder, url, parallel=1, naps=naps)
    assert len(asked) == tries
    assert naps.seconds == [0.5, 1, 2, 4][: tries - 1]


def test_errors_that_pass(folder: Folder) -> None:
    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        send(handler, 502) if number % 2 == 0 else send_range(handler, DATA)

    naps = Naps()
    with host(answer) as (url, _):
        fetch(folder, url, naps=naps)
    assert all(stored(folder))
    assert set(naps.seconds) <= {0.5, 1, 2, 4}


def test_a_file_that_is_shorter_than_its_manifest(server: SiteServer, folder: Folder) -> None:
    (server.root / "model.gguf").write_bytes(DATA[:-1])
    with pytest.raises(DownloadError, match=r"content-range"):
        fetch(folder, server.url, parallel=1)
    (server.root / "model.gguf").write_bytes(DATA[:100])
    with pytest.raises(DownloadError, match=r"HTTP 416 \(bytes \*/100\)"):
        fetch(folder, server.url, tensors=["t3"])


@pytest.mark.parametrize(
    "shown", ["bytes 0-9/438500", "bytes 1-438500/438500", "", "items 0-438499/438500"]
)
def test_another_range_than_asked_for(folder: Folder, shown: str) -> None:
    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        send_range(handler, DATA, content_range=shown)

    with host(answer) as (url, asked), pytest.raises(DownloadError, match="content-range"):
        fetch(folder, url, parallel=1)
    assert len(asked) == 1


def test_a_body_that_ends_early_without_a_word(folder: Folder) -> None:
    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        if number:
            return send_range(handler, DATA)
        shown = f"bytes 0-{len(DATA) - 1}/{len(DATA)}"
        return send(handler, 206, DATA[:-50], content_range=shown)

    with host(answer) as (url, asked):
        fetch(folder, url, parallel=1)
    assert asked == [f"bytes=0-{len(DATA) - 1}", f"bytes={STARTS[-1]}-{len(DATA) - 1}"]


def test_a_host_that_is_not_there(folder: Folder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    naps = Naps()
    with pytest.raises(DownloadError, match="ConnectError"):
        fetch(folder, url, parallel=1, naps=naps)
    assert naps.seconds == [0.5, 1, 2, 4]


def test_a_host_that_falls_silent(tmp_path: Path) -> None:
    over = threading.Event()

    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        if number:
            return send_range(handler, DATA)
        headers = {"content_range": f"bytes 0-{len(DATA) - 1}/{len(DATA)}"}
        send(handler, 206, DATA[:70_000], **headers, content_length=len(DATA))
        over.wait()
        return None

    folder = Folder(tmp_path, stall_s=0.05)
    with host(answer) as (url, asked):
        fetch(folder, url, parallel=1)
        over.set()
    assert asked[1] == f"bytes={STARTS[2]}-{len(DATA) - 1}"
    assert all(stored(folder))


def test_no_address(folder: Folder) -> None:
    manifest = replace(MODEL, file=replace(MODEL.file, url="http://[::1"))
    with pytest.raises(FormatError, match=r"http://\[::1"):
        fetch(folder, "http://127.0.0.1:1", manifest)


def test_cancelling_ends_the_request_and_keeps_what_is_stored(folder: Folder) -> None:
    over, left = threading.Event(), threading.Event()

    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        headers = {"content_range": f"bytes 0-{len(DATA) - 1}/{len(DATA)}"}
        with contextlib.suppress(ConnectionError):  # either notices that the other side left
            send(handler, 206, DATA[:70_000], **headers, content_length=len(DATA))
            handler.rfile.read(1)
        left.set()
        over.wait()

    async def main(url: str) -> None:
        arrived = asyncio.Event()

        class Watched(Folder):
            def _take(self, run: Run, index: int, data: memoryview) -> str:
                if index == 1:
                    loop.call_soon_threadsafe(arrived.set)
                return super()._take(run, index, data)

        loop = asyncio.get_running_loop()
        manifest_url = f"{url}/tiny.manifest.json"
        task = asyncio.ensure_future(
            download(Watched(folder.root), MODEL, manifest_url, parallel=1)
        )
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with host(answer) as (url, asked):
        asyncio.run(main(url))
        assert left.wait(10), "the connection stayed open"
        over.set()
    assert len(asked) == 1
    assert stored(folder)[:1] == [True]
    assert not any(stored(folder)[2:])


def test_an_error_in_one_request_ends_the_others(folder: Folder) -> None:
    over = threading.Event()

    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        if number == 0:
            return send_range(handler, DATA)
        if number == 1:
            return send(handler, 404)
        over.wait()
        return None

    with host(answer) as (url, _):
        with pytest.raises(DownloadError, match="404"):
            fetch(folder, url)
        over.set()


def test_hashes_are_learnt(server: SiteServer, folder: Folder) -> None:
    found = fetch(folder, server.url, unknown(MODEL))
    assert found == MODEL
    assert all(stored(folder))
    server.log.clear()
    assert fetch(folder, server.url, unknown(MODEL)) == MODEL
    assert server.log == []


def test_learning_resumes(server: SiteServer, folder: Folder) -> None:
    server.cut(PATH, STARTS[6] + 1, once=False)
    with pytest.raises(DownloadError):
        fetch(folder, server.url, unknown(MODEL), parallel=1)
    server.mend()
    server.log.clear()
    assert fetch(folder, server.url, unknown(MODEL)) == MODEL
    assert server.sent(PATH) == len(DATA) - STARTS[6]


def test_a_file_that_changed_while_it_was_learnt(server: SiteServer, folder: Folder) -> None:
    server.cut(PATH, STARTS[6], once=False)
    with pytest.raises(DownloadError):
        fetch(folder, server.url, unknown(MODEL), parallel=1)
    server.mend()
    other = random_bytes(len(DATA), seed=1)
    (server.root / "new.gguf").write_bytes(other)
    (server.root / "new.gguf").rename(server.root / "model.gguf")
    server.log.clear()
    with pytest.raises(DownloadError, match="a changed file"):
        fetch(folder, server.url, unknown(MODEL))
    assert {(r.status, bool(r.if_range)) for r in server.log} == {(200, True)}
    found = fetch(folder, server.url, unknown(MODEL))
    assert found.segments == manifest_of(other, SIZES).segments


@pytest.mark.parametrize("etag", [None, 'W/"1"'])
def test_a_host_that_says_of_a_file_only_when_it_was_modified(
    folder: Folder, etag: str | None
) -> None:
    """A weak ETag names no bytes: it is compared, but the server is not asked by it."""

    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        day = "Tue" if number else "Mon"
        shown = {"last_modified": f"{day}, 01 Jan 2024 00:00:00 GMT"}
        if etag:
            shown["etag"] = 'W/"2"' if number else etag
        sent.append(handler.headers["if-range"])
        send_range(handler, DATA, **shown)

    sent: list[str | None] = []
    with (
        host(answer) as (url, _),
        pytest.raises(DownloadError, match=r"a changed file"),
    ):
        fetch(folder, url, unknown(MODEL))
    assert len(sent) > 1
    assert set(sent) == {None}


def test_progress_is_bounded_and_ends_at_all(server: SiteServer, folder: Folder) -> None:
    ticks = iter(range(1_000_000))
    seen: list[Progress] = []
    asyncio.run(
        download(
            folder, MODEL, f"{server.url}/x", on_progress=seen.append, clock=lambda: next(ticks)
        )
    )
    assert len(seen) > 5
    assert {progress.total_nbytes for progress in seen} == {len(DATA)}
    assert all(0 <= progress.done_nbytes <= len(DATA) for progress in seen)
    assert (seen[-1].done_nbytes, seen[-1].seconds_left) == (len(DATA), 0.0)


def test_fetch_run_of_a_folder_says_what_came(server: SiteServer, folder: Folder) -> None:
    arrived: list[int] = []
    run = Run(f"{server.url}{PATH}", STARTS[1], (Segment(None, SIZES[1]), MODEL.segments[2]))
    result = asyncio.run(folder.fetch_run(run, on_bytes=arrived.append))
    assert result.done == (MODEL.segments[1].hash, MODEL.segments[2].hash)
    assert (result.error, result.retry, result.ranged) == (None, False, True)
    assert result.etag
    assert sum(arrived) == SIZES[1] + SIZES[2]
