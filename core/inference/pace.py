"""How many tokens of a prompt may be read while others wait for their next token.

A piece costs a fixed time and some for each token, and how much differs by a factor of a hundred between
models and machines, so it is learnt from the pieces that were read.
"""

SIZES = (16, 32, 64, 128, 256, 512)  # tokens
WEIGHT = 0.25  # of the newest piece in the mean


class ReadingPace:
    """Of one model."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}  # a mean, by size

    def choose(self, seconds: float, *, slower: float = 1.0) -> int:
        """The largest size that is read in about so many seconds; the smallest when none is.

        A size is at most twice the largest that is known, so one wrong guess costs little. ``slower``: how
        many times longer this prompt's last piece took than the mean (``slower_than``), since the more of a
        prompt was read, the longer the next piece takes.
        """
        seconds /= max(1.0, slower)
        largest_known = max(self._seconds, default=0)
        if largest_known < SIZES[1]:  # two are needed to tell the fixed time from that for each token
            return SIZES[1] if largest_known else SIZES[0]
        within = (size for size in SIZES if size <= 2 * largest_known and self._guess(size) <= seconds)
        return max(within, default=SIZES[0])

    def note(self, tokens: int, seconds: float) -> None:
        """What a piece took. The rest of a prompt, which has another size, is not counted."""
        if tokens in SIZES:
            before = self._seconds.get(tokens, seconds)
            self._seconds[tokens] = before + WEIGHT * (seconds - before)

    def slower_than(self, tokens: int, seconds: float) -> float:
        """How many times longer a piece took than the mean of what is known; 1.0 where nothing is."""
        if not self._seconds:
            return 1.0
        return seconds / max(1e-9, self._guess(tokens))

    def _guess(self, size: int) -> float:
        """On the line through the smallest and the largest size that are known."""
        small, large = min(self._seconds), max(self._seconds)
        if small == large:
            return self._seconds[small] * size / small
        per_token = max(0.0, (self._seconds[large] - self._seconds[small]) / (large - small))
        return self._seconds[small] + per_token * (size - small)
