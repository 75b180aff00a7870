"""Pairs of names that differ by a pattern: `norain-1` and `rain-1`, `0001` and `0001x2`, `1` and `1_1` to `1_15`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Hashable, Iterable
from itertools import takewhile

# A pattern may end between letters, digits and other characters. `x2` at the end is a scale, also behind letters.
_TOKENS = re.compile(r"x[2348]$|[^\W\d_]+?(?=x[2348]$)|[^\W\d_]+|\d+|.", re.DOTALL)


def partners(clean: Collection[str], degraded: Collection[str]) -> dict[str, str] | None:
    """The clean name of each degraded name.

    Names are paired only if one pattern holds for all of them and no name is left over. Three patterns are tried:

    1. Each side adds its own text before and behind the same middle.
    2. Each side has its own words between the same numbers, as in `0001_GT_010` and `0001_NOISY_010`.
    3. A degraded name adds a version to the clean one, behind a character that is no letter and no digit.

    Args:
        clean, degraded: Names without endings; each is unique on its side.

    Returns:
        None if no pattern holds.

    >>> partners(["norain-1", "norain-2"], ["rain-1x2", "rain-2x2"])
    {'rain-1x2': 'norain-1', 'rain-2x2': 'norain-2'}
    >>> partners(["01", "02"], ["11", "12"])
    """
    if not clean or not degraded:
        return None
    if set(clean) == set(degraded):
        return {name: name for name in degraded}
    if len(clean) > 1:
        for key_of in (_middles, _numbers):
            found = _paired(clean, degraded, key_of)
            if found:
                return found
    return _versions(clean, degraded)


Keys = dict[str, Hashable]


def _paired(
    clean: Collection[str], degraded: Collection[str], keys_of: Callable[[Collection[str]], Keys]
) -> dict[str, str] | None:
    """The pairs of equal keys, if every key is on both sides once."""
    ours, theirs = keys_of(clean), keys_of(degraded)
    named = {key: name for name, key in ours.items()}
    if len(named) != len(clean) or len(set(theirs.values())) != len(degraded) or set(theirs.values()) != named.keys():
        return None
    return {name: named[key] for name, key in theirs.items()}


def _middles(names: Collection[str]) -> Keys:
    """The names without the tokens that all begin and end with."""
    tokens = {name: _TOKENS.findall(name) for name in names}
    first = _common(tokens.values())
    last = _common(each[first:][::-1] for each in tokens.values())
    return {name: tuple(each[first : len(each) - last]) for name, each in tokens.items()}


def _common(lists: Iterable[list[str]]) -> int:
    """How many items all lists begin with."""
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, zip(*lists, strict=False)))


def _numbers(names: Collection[str]) -> Keys:
    """The numbers of the names, if the words between them are the same; else keys that no other side has."""
    words = {tuple(re.split(r"\d+", name)) for name in names}
    return {name: tuple(re.findall(r"\d+", name)) if len(words) == 1 else object() for name in names}


def _versions(clean: Collection[str], degraded: Collection[str]) -> dict[str, str] | None:
    """The longest clean name that each degraded name begins with, with and without the side's own first words."""
    for strip in (False, True):
        ours, theirs = ({name: _after_words(name) if strip else name for name in side} for side in (clean, degraded))
        named = {key: name for name, key in ours.items()}
        found = {name: named.get(_beginning(key, named)) for name, key in theirs.items()}
        is_whole = "" not in named and len(named) == len(clean) and set(found.values()) == set(clean)
        if is_whole:
            return {name: partner for name, partner in found.items() if partner is not None}
    return None


def _after_words(name: str) -> str:
    """A name from its first digit on, folders kept."""
    folder, _, last = name.rpartition("/")
    rest = re.sub(r"^[^0-9]*", "", last)
    return f"{folder}/{rest}" if folder and rest else rest


def _beginning(name: str, known: Collection[str]) -> str:
    """The longest known name that is `name` or is followed in it by a separator; empty if there is none."""
    ends = [len(name), *(match.start() for match in re.finditer(r"[\W_]", name))]
    return next((name[:end] for end in sorted(ends, reverse=True) if name[:end] in known), "")
