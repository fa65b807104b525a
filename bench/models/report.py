"""Tables of what run.py measured, and what was predicted before.

    PYTHONPATH=pyapp:. .venv/bin/python -m bench.models.report LINES.jsonl …

Of the same row the last one given counts. Markdown goes to the terminal.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Rows = Mapping[tuple[str, ...], dict[str, Any]]
KERNELS, STEPS = 6, 10


def rows_of(paths: Iterable[Path]) -> Rows:
    """Every line by what it is about."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for path in paths:
        for line in path.read_text().splitlines():
            row = json.loads(line)
            found[row["what"], row.get("case", ""), row.get("engine", "")] = row
    return found


def compared(rows: Rows, what: str) -> list[str]:
    """One line an engine and case: what it takes, and how it compares."""
    lines = [
        "| case | engine | ms, median (min to max) | times as fast as the last | "
        "load (ms) | first run (ms) | dispatches | MB on the device | largest difference |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (kind, case, _), row in rows.items():
        if kind != what:
            continue
        if "error" in row:
            lines.append(f"| {case} | failed: {row['error'][-160:]!r} |" + " |" * 7)
            continue
        for engine in row["engines"]:
            lines.append(_engine(case, engine))
        for name, why in row["failed"].items():
            lines.append(f"| {case} | {name} | failed: {why[:160]} |" + " |" * 6)
    return lines


def _engine(case: str, engine: Mapping[str, Any]) -> str:
    ms, ratio = engine["ms"], engine["ratios"]
    apart = max(each["max_abs"] or 0 for each in engine["difference"].values())
    nbytes = engine.get("allocated_nbytes")
    cells = [
        case, engine["engine"], f"**{ms['median']:.3g}** ({ms['min']:.3g} to {ms['max']:.3g})",
        f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})",
        f"{engine['load_ms']:,.0f}", f"{engine['first_ms']:,.1f}", str(engine.get("steps", "")),
        f"{nbytes / 1e6:.1f}" if nbytes else "", f"{apart:.1g}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def planned(rows: Rows) -> list[str]:
    """What each plan is."""
    lines = [
        "| case | plan | compiled in (ms) | dispatches or calls | kernels | "
        "MB on the device | of it intermediate | most of the dispatches |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (kind, case, _), row in rows.items():
        for engine, plan in row["plans"].items() if kind == "plans" else ():
            if "error" in plan:
                lines.append(f"| {case} | {engine} | refused: {plan['error'][:160]} |" + " |" * 5)
                continue
            most = ", ".join(f"{n} {name}" for name, n in list(plan["by_kernel"].items())[:4])
            cells = [case, engine, str(plan["compile_ms"]), str(plan["steps"]),
                     str(plan["kernels"]), f"{plan['device_nbytes'] / 1e6:.1f}",
                     f"{plan['live_nbytes'] / 1e6:.1f}", most]  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def profiled(rows: Rows) -> list[str]:
    """Where the GPU's time goes: kernels of a model, then its longest dispatches."""
    lines = []
    for (kind, case, engine), row in rows.items():
        if kind != "profile" or "error" in row:
            continue
        lines += ["", f"{case}, {engine}: {row['run_ms']['median']:.3g} ms in one pass", "",
                  "| kernel | dispatches | alone (ms) | repeated (ms) |",
                  "| --- | --- | --- | --- |"]  # fmt: skip
        for each in row["kernels"][:KERNELS]:
            lines.append(f"| {each['kernel']} | {each['count']} | {each['alone_ms']:.3g} | "
                         f"{each['repeated_ms']:.3g} |")  # fmt: skip
        lines += ["", "| longest dispatches | from | workgroups | µs, repeated |",
                  "| --- | --- | --- | --- |"]  # fmt: skip
        for each in row["steps"][:STEPS]:
            groups = "×".join(map(str, each["groups"]))
            lines.append(f"| {each['kernel']} | {each['origin'][-60:]} | {groups} | "
                         f"{each['repeated_us']:.3g} |")  # fmt: skip
    return lines


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lines", type=Path, nargs="+")
    rows = rows_of(parser.parse_args().lines)
    for title, lines in (
        ("WebGPU", compared(rows, "gpu")),
        ("CPU", compared(rows, "cpu")),
        ("Plans", planned(rows)),
        ("Where GPU time goes", profiled(rows)),
    ):
        print(f"\n#### {title}\n")
        print("\n".join(lines))


if __name__ == "__main__":
    main()
