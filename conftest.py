"""Rules for every test: random inputs are reproducible, and a gate hides no skipped test."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from hypothesis import settings

settings.register_profile("edgewise", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("edgewise")

#: The one thing that may be missing where the gate runs: no package registry carries it.
MAY_BE_MISSING = "WebKit"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--no-skips`, which the gate uses: a machine that lacks something fails there."""
    parser.addoption(
        "--no-skips",
        action="store_true",
        help=f"a skipped test fails, unless its reason begins with {MAY_BE_MISSING!r}",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure under `--no-skips`."""
    report = yield
    expected_failure = hasattr(report, "wasxfail")
    if report.skipped and not expected_failure and item.config.getoption("--no-skips"):
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        if not reason.removeprefix("Skipped: ").startswith(MAY_BE_MISSING):
            report.outcome = "failed"
            report.longrepr = f"{reason}\nskipped under --no-skips: install what is missing"
    return report
