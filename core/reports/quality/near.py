"""Which texts are nearly the same: MinHash signatures and their neighbours, in numpy, in bounded memory.

A text is the set of its runs of three words (letter case and punctuation do not count; a Chinese, Japanese or
Korean character is a word of its own). The similarity of two texts is the share of runs they have in common
(Jaccard); the share of equal numbers in two signatures estimates it, to about ±0.05. Texts that hash alike in
one band of their signatures are compared (locality-sensitive hashing, Leskovec et al., Mining of Massive
Datasets, chapter 3): at 0.8 a pair is found in 99 of 100 cases.

In a crowd of similar texts not every pair is listed: each text is compared with the first and with the one
before it in its band, so that every member still meets an earlier one.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

WORDS = 3
HASHES = 60
BANDS = 12
THRESHOLD = 0.8
CHUNK_BYTES = 4 * 2**20  # the working memory is about fifty times this
MAX_BYTES = 64 * 2**10  # of one text; what comes later does not count
COMPARED = 100_000  # pairs at once
FIRST_MATCHES = 3  # of the texts on the other side that hash alike

Signatures = NDArray[np.uint32]  # one row of HASHES per text; all of them EMPTY where a text has no words
Places = NDArray[np.int64]
Pair = tuple[int, int, float]
EMPTY = np.uint32(0xFFFFFFFF)

_random = np.random.default_rng(20260101)  # fixed: stored signatures stay comparable
_MULTIPLIERS = _random.integers(1, 2**31, HASHES, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
_OFFSETS = _random.integers(0, 2**32, HASHES, dtype=np.uint32)
# by place in the word (from 32 on they come again) and byte
_BYTE_VALUES = _random.integers(1, 2**63, (32, 256), dtype=np.uint64)
_RUN_VALUES = _random.integers(1, 2**63, WORDS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_BAND_VALUES = _random.integers(1, 2**63, HASHES // BANDS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


def _letters() -> NDArray[np.uint8]:
    """What each byte counts as: lower case for letters, itself
    for digits and everything beyond ASCII, 0 for the rest."""
    table = np.zeros(256, np.uint8)
    table[48:58] = np.arange(48, 58)
    table[97:123] = table[65:91] = np.arange(97, 123)
    table[128:] = np.arange(128, 256)
    return table


_LETTERS = _letters()


def signatures(texts: Sequence[str | None]) -> Signatures:
    """One row per text."""
    hashes = np.full((len(texts), HASHES), EMPTY, np.uint32)
    for start, chunk in _chunks(texts):
        runs, owners = _runs(chunk)
        if len(runs):
            _fold(runs, owners, hashes[start : start + len(chunk)])
    return hashes


def pairs(a: Signatures, b: Signatures | None = None, threshold: float = THRESHOLD) -> list[Pair]:
    """(i, j, similarity) of texts at least that similar:
    i < j within ``a``, or i in ``a`` and j in ``b``; in order of j."""
    i, j, shares = _alike(a, b, threshold)
    return list(zip(i.tolist(), j.tolist(), shares.tolist(), strict=True))


def nearest(a: Signatures, threshold: float = THRESHOLD) -> tuple[Places, Places, NDArray[np.float64]]:
    """As ``pairs`` within ``a``, but for each text only the earlier one
    that it is most like, and in arrays: i, j, similarity."""
    i, j, shares = _alike(a, None, threshold)
    order = np.lexsort((i, -shares, j))
    first = np.r_[True, np.diff(j[order]) > 0][: len(order)]
    chosen = order[first]
    return i[chosen], j[chosen], shares[chosen]


def similarity(one: str, other: str) -> float:
    """The true share of runs that two texts have in common, where a signature's estimate is not enough."""
    first, second = (set(_runs([text.encode(errors="replace")])[0].tolist()) for text in (one, other))
    return len(first & second) / len(first | second) if first or second else float(one == other)


def _chunks(texts: Sequence[str | None]) -> Iterator[tuple[int, list[bytes]]]:
    start, size = 0, 0
    chunk: list[bytes] = []
    for at, text in enumerate(texts):
        encoded = (text or "")[:MAX_BYTES].encode(errors="replace")
        if chunk and size + len(encoded) > CHUNK_BYTES:
            yield start, chunk
            start, chunk, size = at, [], 0
        chunk.append(encoded)
        size += len(encoded)
    if chunk:
        yield start, chunk


def _runs(chunk: Sequence[bytes]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The hashes of all runs of words, and which text each belongs to (ascending)."""
    words, owners = _words(chunk)
    if not len(words):
        return np.empty(0, np.uint32), np.empty(0, np.int64)
    runs = words * _RUN_VALUES[0]
    for step in range(1, WORDS):  # a text of fewer words than a run has is one shorter run
        follows = np.zeros(len(words), bool)
        follows[:-step] = owners[step:] == owners[:-step]
        shifted = np.zeros(len(words), np.uint64)
        shifted[:-step] = words[step:]
        runs = np.where(follows, runs + shifted * _RUN_VALUES[step], runs)
    first_of_text = np.r_[True, owners[1:] != owners[:-1]]
    has_whole_run = np.zeros(len(words), bool)
    has_whole_run[: -(WORDS - 1)] = owners[WORDS - 1 :] == owners[: -(WORDS - 1)]
    kept = first_of_text | has_whole_run
    return _mixed(runs[kept]), owners[kept]


def _words(chunk: Sequence[bytes]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The hash of each word, and which text it stands in."""
    joined = _LETTERS[np.frombuffer(b"\0".join(chunk) + b"\0", np.uint8)]
    lengths = np.fromiter((len(text) + 1 for text in chunk), np.int64, len(chunk))
    starts = _starts(joined)
    if not len(starts):
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    # places before the first word take that word's start: they count as nothing anyway
    place = (
        np.arange(len(joined))
        - np.repeat(starts, np.diff(np.r_[starts, len(joined)]))[
            np.maximum(np.arange(len(joined)) - starts[0], 0)
        ]
    )
    values = np.where(joined > 0, _BYTE_VALUES[place & 31, joined], np.uint64(0))
    return np.add.reduceat(values, starts), np.searchsorted(np.cumsum(lengths), starts, side="right")


def _starts(joined: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Where words begin: after a byte that is none,
    and at each wide character (UTF-8 from E3 to ED: kana, ideographs, hangul)."""
    is_part = joined > 0
    begins = is_part & np.r_[True, ~is_part[:-1]]
    return np.flatnonzero(begins | ((joined >= 0xE3) & (joined <= 0xED)))


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """The finaliser of SplitMix64: every bit depends on every other."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (values >> np.uint64(32)).astype(np.uint32)


def _fold(runs: NDArray[np.uint32], owners: NDArray[np.int64], into: Signatures) -> None:
    """The smallest value of each hash function over the runs of each text."""
    starts = np.flatnonzero(np.r_[True, owners[1:] != owners[:-1]])
    for number in range(HASHES):
        into[owners[starts], number] = np.minimum.reduceat(
            runs * _MULTIPLIERS[number] + _OFFSETS[number], starts
        )


def _bands(signed: Signatures) -> Iterator[NDArray[np.uint64]]:
    width = HASHES // BANDS
    for band in range(BANDS):
        part = signed[:, band * width : (band + 1) * width].astype(np.uint64)
        yield (part * _BAND_VALUES).sum(axis=1, dtype=np.uint64)


def _alike(
    a: Signatures, b: Signatures | None, threshold: float
) -> tuple[Places, Places, NDArray[np.float64]]:
    """The candidates that are as similar as wanted, in order of j, then i."""
    other = a if b is None else b
    size = max(len(a), 1)
    j, i = np.divmod(_within(a) if b is None else _across(a, b), size)
    shares = np.empty(len(i), np.float64)
    for start in range(0, len(i), COMPARED):
        part = slice(start, start + COMPARED)
        shares[part] = (a[i[part]] == other[j[part]]).mean(axis=1)
    near = shares >= threshold
    return i[near], j[near], shares[near]


def _within(signed: Signatures) -> Places:
    """Candidates i < j as j * size + i: in each band every text
    with the first and with the previous of those that hash alike."""
    worded = _worded(signed)
    matches = [np.empty(0, np.int64)]
    for keys in _bands(signed[worded]):
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        same = np.flatnonzero(ordered[1:] == ordered[:-1]) + 1
        firsts = np.searchsorted(ordered, ordered[same], side="left")
        for others in (firsts, same - 1):
            matches.append(worded[order[same]] * len(signed) + worded[order[others]])
    return np.unique(np.concatenate(matches))


def _across(a: Signatures, b: Signatures) -> Places:
    """Candidates as j * size of a + i: in each band every text
    of ``b`` with the first few of ``a`` that hash alike."""
    left, right = _worded(a), _worded(b)
    matches = [np.empty(0, np.int64)]
    for keys, wanted in zip(_bands(a[left]), _bands(b[right]), strict=True):
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        for step in range(FIRST_MATCHES):
            places = np.searchsorted(ordered, wanted, side="left") + step
            hits = np.flatnonzero(places < len(ordered))
            hits = hits[ordered[places[hits]] == wanted[hits]]
            matches.append(right[hits] * len(a) + left[order[places[hits]]])
    return np.unique(np.concatenate(matches))


def _worded(signed: Signatures) -> Places:
    """The texts that have words at all."""
    return np.flatnonzero(signed[:, 0] != EMPTY) if len(signed) else np.empty(0, np.int64)
