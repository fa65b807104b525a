"""Tables of what run.py measured: medians, and ratios pair by pair.

    PYTHONPATH=pyapp:. .venv/bin/python -m bench.wasm.report LINES.jsonl …

Of suites that several files have, the last file's rows count. Markdown goes to the terminal.

A ratio is a peer's time over Edgewise's: how many times as fast Edgewise is. Each turn of a peer is
compared with what Edgewise took at that moment, between its turns just before and after, so
that what the machine does to both cancels out; the median over the rounds is shown, with the
smallest and largest in brackets.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from bisect import bisect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.wasm.cases import LLM, METRICS, OURS, SUITES, Suite

Row = Mapping[str, Any]
Turns = Sequence[tuple[float, float]]  # when, and how many milliseconds
UNITS = {"prefill128": 128, "prefill512": 512, "decode": 1}  # tokens of a metric's milliseconds


def rows_of(files: Iterable[Path]) -> list[Row]:
    """All rows; a suite's come from the last file that has it, with these threads."""
    kept: dict[tuple[str, int], list[Row]] = {}
    about: list[Row] = []
    for file in files:
        found: dict[tuple[str, int], list[Row]] = {}
        for line in file.read_text().splitlines():
            row = json.loads(line)
            if "suite" in row:
                found.setdefault((row["suite"], row["threads"]), []).append(row)
            else:
                about.append(row)
        kept |= found
    return [*about, *(row for rows in kept.values() for row in rows)]


def turns(rows: Iterable[Row], engine: str, metric: str) -> list[tuple[float, float]]:
    """When an engine had its turns, and what they took."""
    return [(row["at"], row[metric]) for row in rows
            if row["what"] == "turn" and row["engine"] == engine and metric in row]  # fmt: skip


def moment(mine: Turns, at: float) -> float:
    """What Edgewise took at a moment, between its turns around it on a logarithmic line."""
    after = bisect([when for when, _ in mine], at)
    if after in (0, len(mine)):
        return mine[min(after, len(mine) - 1)][1]
    (start, before), (end, behind) = mine[after - 1], mine[after]
    share = (at - start) / (end - start)
    return math.exp((1 - share) * math.log(before) + share * math.log(behind))


def ratios(mine: Turns, other: Turns) -> list[float]:
    """How many times as fast Edgewise is, by each turn of the other."""
    return [ms / moment(mine, at) for at, ms in other] if mine else []


def number(value: float) -> str:
    """Three digits or more, thousands apart."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def counted(threads: int) -> str:
    """ "2 threads" """
    return f"{threads} thread{'s' if threads > 1 else ''}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def shown(metric: str, values: Sequence[float]) -> str:
    """A median: tokens a second, or milliseconds of a run."""
    if not values:
        return ""
    median = statistics.median(values)
    return number(1e3 * UNITS[metric] / median if metric in UNITS else median)


def ratio(found: Sequence[float], *, spread: bool = True) -> str:
    """ "1.8 (1.6 to 2.1)"."""
    if not found:
        return ""
    ends = f" ({min(found):.2f} to {max(found):.2f})" if spread and len(found) > 1 else ""
    return f"{statistics.median(found):.2f}{ends}"


def language_model(rows: Sequence[Row], suite: Suite) -> list[str]:
    """Tokens a second of every engine, and how many times as fast Edgewise is."""
    lines = []
    for threads in sorted({row["threads"] for row in rows}):
        mine = [row for row in rows if row["threads"] == threads]
        body = []
        for engine in suite.engines:
            cells = [engine.name]
            for metric in METRICS:
                own = turns(mine, engine.name, metric)
                cells.append(shown(metric, [ms for _, ms in own]))
            for metric in METRICS:
                own = turns(mine, engine.name, metric)
                found = ratios(turns(mine, OURS, metric), own)
                cells.append("" if engine.name == OURS else ratio(found))
            agree = [row["agree"] for row in mine if row["what"] == "turn" and "decode" in row
                     and row["engine"] == engine.name and "agree" in row]  # fmt: skip
            cells.append(f"{min(agree):.0f}" if agree else "")
            if any(cells[1:]):
                body.append(cells)
        names = ("prefill 128", "prefill 512", "decode")
        header = [counted(threads),
                  *(f"{name} (tok/s)" for name in names), *(f"Edgewise, {n}" for n in names),
                  "first tokens as in f32"]  # fmt: skip
        lines += ["", *table(header, body)]
    return lines


def models(rows: Sequence[Row]) -> list[str]:
    """Milliseconds of both engines for every model."""
    body = []
    for suite in SUITES.values():
        for threads in (1, 2):
            mine = [r for r in rows if (r["suite"], r["threads"]) == (suite.name, threads)]
            if not mine or suite.name == LLM:
                continue
            own, other = (turns(mine, engine.name, "run") for engine in suite.engines)
            apart: Row = next((r for r in mine if r["what"] == "difference"), {})
            noise = apart.get("mean_from_f32", {})
            noises = " / ".join(f"{noise[e.name]:.2g}" for e in suite.engines if e.name in noise)
            far = f"{apart['max_abs']:.1e} of {apart['largest']:.2g}" if "max_abs" in apart else ""
            times = [shown("run", [ms for _, ms in each]) for each in (own, other)]
            body.append([suite.name, str(threads), *times, ratio(ratios(own, other)), far, noises])
    header = ["case", "threads", "Edgewise (ms)", "ONNX Runtime Web (ms)", "times as fast",
              "largest difference", "mean distance from f32: Edgewise / the peer"]  # fmt: skip
    return table(header, body) if body else []


def goals(rows: Sequence[Row]) -> list[str]:
    """What was aimed at: of several peers the fastest one's median counts."""
    body = []
    for suite in SUITES.values():
        for threads in sorted({row["threads"] for row in rows if row["suite"] == suite.name}):
            mine = [r for r in rows if (r["suite"], r["threads"]) == (suite.name, threads)]
            for metric, wanted in suite.goals.items():
                for peers, goal in wanted.items():
                    found = {
                        peer: statistics.median(each)
                        for peer in peers
                        if (each := ratios(turns(mine, OURS, metric), turns(mine, peer, metric)))
                    }
                    if found:
                        best = min(found, key=lambda peer: found[peer])
                        met = "yes" if found[best] >= goal else "**no**"
                        body.append([suite.name, metric, str(threads), best, f"{goal:g}",
                                     f"{found[best]:.2f}", met])  # fmt: skip
    header = ["case", "metric", "threads", "beside", "goal", "measured", "met"]
    return table(header, body) if body else []


def tables(files: Sequence[Path]) -> str:
    """Everything as Markdown."""
    about = [row for row in rows_of(files) if "suite" not in row]
    rows = [row for row in rows_of(files) if "suite" in row]
    foreign = [row["foreign"] for row in rows if row["what"] == "turn"]
    lines = [f"{row['cpu']}, {row['cpus']} CPUs, Chromium {row['browser']}" for row in about[-1:]]
    if foreign:
        lines.append(f"Others used {statistics.median(foreign):.2f} CPUs meanwhile "
                     f"(at most {max(foreign):.2f}).")  # fmt: skip
    chat = [row for row in rows if row["suite"] == LLM]
    lines += [*language_model(chat, SUITES[LLM]), "", *models(rows), "", *goals(rows)]
    return "\n".join(lines)


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lines", type=Path, nargs="+")
    print(tables(parser.parse_args().lines))


if __name__ == "__main__":
    main()
