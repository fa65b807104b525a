"""How kernels are shaped for a device: measured choices, in one place with their reasons."""

from __future__ import annotations

from dataclasses import dataclass

from ..device import DeviceFacts


@dataclass(frozen=True, slots=True)
class Matvec:
    """`lanes` threads share `rows` rows; `threads` in a workgroup; how lanes add up."""

    lanes: int
    rows: int
    threads: int
    subgroups: bool


@dataclass(frozen=True, slots=True)
class Matmul:
    """The kernel's name, its tile (rows of W, rows of x) and how it is parametrised."""

    kernel: str
    tile: tuple[int, int]
    flags: dict[str, bool]
    consts: dict[str, int]


def matvec(facts: DeviceFacts, features: frozenset[str], rows: int, units: int) -> Matvec:
    """A matrix of `rows` rows, each `units` vectors of codes, times one vector."""
    if facts.fallback:
        # On a CPU a barrier costs more than the loop that it saves, and x is loaded again for
        # every thread: give each many rows.
        return Matvec(lanes=1, rows=4 if rows < 4096 else 8, threads=16, subgroups=False)
    lanes = 1 << (max(min(units, 32), 1).bit_length() - 1)
    subgroups = "subgroups" in features and facts.subgroup_min >= 4
    if subgroups:
        lanes = min(lanes, facts.subgroup_min)
    # Few rows a thread keep all cores busy; a vocabulary has enough rows for more reuse of x.
    return Matvec(lanes, rows=4 if rows >= 16384 else 2, threads=64, subgroups=subgroups)


def matmul(facts: DeviceFacts, rows: int) -> Matmul:
    """A matrix of `rows` rows times many: tiles in workgroup memory, or in registers alone."""
    if facts.fallback:
        return Matmul("matmul_rows", (64, 4), {}, {"R": 4})
    # Small products want more workgroups than large tiles give them.
    mr = 4 if rows > 1024 else 2
    return Matmul("matmul", (64, 16 * mr), {"MR4": mr == 4}, {"MR": mr})


@dataclass(frozen=True, slots=True)
class AttentionRow:
    """The kernel's name and the threads that share one head."""

    kernel: str
    threads: int
    flags: dict[str, bool]


def attention_row(facts: DeviceFacts, features: frozenset[str], width: int) -> AttentionRow:
    """One query against all keys; a head is `width` vectors wide."""
    lanes_fit = "subgroups" in features and width <= facts.subgroup_min
    if lanes_fit and width & (width - 1) == 0:
        # Lanes read a key's row side by side, and no barrier stands between two keys.
        most = min(facts.limits.get("maxComputeWorkgroupSizeX", 256),
                   facts.limits.get("maxComputeInvocationsPerWorkgroup", 256))  # fmt: skip
        return AttentionRow("attention_row_lanes", min(512, most), {"SUBGROUPS": True})
    threads = 32 if facts.fallback else 128  # on a CPU, few threads wait for each other
    while threads < width:
        threads *= 2
    return AttentionRow("attention_row", threads, {"SUBGROUPS": False})


@dataclass(frozen=True, slots=True)
class Gemm:
    """The kernel's name, its parameters, and what one workgroup makes (rows, columns).

    `columns` of 0: the results of a batch lie side by side, and `rows` counts them. A sum along
    K is made in `slices`, which another kernel adds.
    """

    kernel: str
    rows: int
    columns: int
    consts: dict[str, int]
    flags: dict[str, bool]
    slices: int = 1


FILL = 512  # workgroups of tiles that keep a large GPU busy: four for each core of an H100
LEAST_DEPTH = 64  # of a slice: below, starting a workgroup and adding cost what they save
MOST_SLICES = 32


def gemm(
    facts: DeviceFacts, m: int, n: int, k: int, batches: int, *, conv: bool = False,
    turned: bool = False,
) -> Gemm:  # fmt: skip
    """[m, k] times [k, n], for each of `batches`.

    The right side may be the windows of a `conv`, or `turned`: side by side lie its columns.
    Sizes that vary are at their bound: slices of such would want memory for the largest, which
    has tiles enough without.
    """
    # Mesa makes a b + c d + e, in registers, two nested FMAs: one rounding less than W3C's tests
    # of lstm take.
    if facts.fallback and k != 2:
        rows = 1 if m == 1 else 4 if m <= 4 else 8
        return Gemm("gemm_rows", rows, 64, {}, {"ONE": rows == 1, "TALL": rows == 8})
    if k != 2 and (m == 1 or n == 1):
        # Reading b is all there is to do: as many threads as the columns leave room for.
        along = n == 1 or turned
        threads, lanes = (128, 32) if along else (256, 16 if n >= 16384 else 32)
        consts = {"WG": threads, "LANES": lanes}
        return Gemm("gemm_dots", threads // lanes, 0, consts, {"ALONG_K": along})
    # Small tiles fill the device sooner, but find each window's place more often.
    side = 8 if -(-m // 64) * -(-n // 64) * batches < (16 if conv else 128) else 16
    tiles = -(-m // (4 * side)) * -(-n // (4 * side)) * batches
    slices = max(1, min(FILL // max(tiles, 1), k // LEAST_DEPTH, MOST_SLICES))
    consts = {"SIDE": side, "SLICES": slices}
    return Gemm("gemm_tiles", 4 * side, 4 * side, consts, {"TURNED": turned}, slices)


@dataclass(frozen=True, slots=True)
class Row:
    """How many threads a workgroup has, and whether they share a row."""

    threads: int
    group: bool


def row(facts: DeviceFacts, rows: int, size: int, contiguous: bool) -> Row:
    """`rows` rows of `size` elements, which lie side by side where `contiguous`."""
    if facts.fallback:
        # Barriers are dear on a CPU, but one thread alone uses a fraction of it.
        return Row(32, group=rows < 16 and size >= 1024)
    if size < 32 or (not contiguous and rows >= 8192):
        return Row(64, group=False)
    return Row(64 if size <= 1024 else 256, group=True)
