"""Versions and specifiers: semver.org's order, and Python's packages as the oracle of the rest."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version as Packaged

from edgewise.errors import InputError
from edgewise.hub.version import Specifier, parse

NUMBER = st.integers(0, 3)
RELEASE = st.tuples(NUMBER, NUMBER, NUMBER)
#: Those that both worlds know; semver writes 1.0.0-rc.1 where Python writes 1.0.0rc1.
PRE = st.none() | st.tuples(st.sampled_from(["alpha", "beta", "rc"]), st.integers(0, 2))
ORDER = ("1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2",
         "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1-0", "1.0.1", "1.2.0", "1.10.0",
         "2.0.0")  # fmt: skip


def written(numbers: tuple[int, ...], pre: tuple[str, int] | None) -> tuple[str, str]:
    """As semver.org and as Python have it."""
    release = ".".join(map(str, numbers))
    if pre is None:
        return release, release
    return f"{release}-{pre[0]}.{pre[1]}", f"{release}{pre[0]}{pre[1]}"


@st.composite
def clauses(draw: st.DrawFn) -> tuple[str, str]:
    relation = draw(st.sampled_from(["==", "!=", "<=", ">=", "<", ">", "~="]))
    count = draw(st.integers(2 if relation == "~=" else 1, 3))
    numbers = draw(RELEASE)[:count]
    if relation in ("==", "!=") and count < 3 and draw(st.booleans()):
        text = f"{relation}{'.'.join(map(str, numbers))}.*"
        return text, text
    ours, theirs = written(numbers, draw(PRE) if count == 3 else None)
    return relation + ours, relation + theirs


@pytest.mark.slow
@given(st.lists(clauses(), min_size=1, max_size=3), RELEASE, PRE)
def test_a_specifier_allows_what_packaging_allows(
    each: list[tuple[str, str]], release: tuple[int, ...], pre: tuple[str, int] | None
) -> None:
    ours, theirs = (",".join(texts) for texts in zip(*each, strict=True))
    version, packaged = written(release, pre)
    allowed = Specifier.parse(ours).allows(parse(version))
    oracle = SpecifierSet(theirs)
    # what a set of specifiers says of pre-releases unless it is told otherwise has changed between
    # packaging's versions; that one of them must name one is PEP 440's word
    named = bool(oracle.prereleases)
    assert allowed is oracle.contains(Packaged(packaged), prereleases=named)


@pytest.mark.slow
@given(RELEASE, PRE, RELEASE, PRE)
def test_versions_sort_as_packaging_sorts_them(
    a: tuple[int, ...], a_pre: tuple[str, int] | None,
    b: tuple[int, ...], b_pre: tuple[str, int] | None,
) -> None:  # fmt: skip
    (ours_a, theirs_a), (ours_b, theirs_b) = written(a, a_pre), written(b, b_pre)
    assert (parse(ours_a).key < parse(ours_b).key) is (Packaged(theirs_a) < Packaged(theirs_b))


@pytest.mark.parametrize(("lower", "higher"), list(pairwise(ORDER)))
def test_the_order_of_semver(lower: str, higher: str) -> None:
    assert parse(lower).key < parse(higher).key


def test_a_build_counts_for_nothing() -> None:
    assert parse("1.0.0+linux.5") == parse("1.0.0")


def test_no_specifier_allows_all_but_pre_releases() -> None:
    anything = Specifier.parse("")
    assert anything.allows(parse("0.0.1"))
    assert not anything.allows(parse("1.0.0-rc.1"))


@pytest.mark.parametrize("text", ["1", "1.0", "v1.0.0", "01.0.0", "1.0.0.0", "1.0.0-", "1.0.٣", ""])
def test_no_version(text: str) -> None:
    with pytest.raises(InputError, match=r"version.*MAJOR.MINOR.PATCH"):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "1.0", "=1.0", "===1.0", ">=", ">=1,", ">=1.0.0.0", "~=1", ">1.*", "==1.0.0.*", ">=1-rc.1",
        "<2 >1", "==1.٣",
    ],
)  # fmt: skip
def test_no_specifier(text: str) -> None:
    with pytest.raises(InputError, match="version specifier"):
        Specifier.parse(text)
