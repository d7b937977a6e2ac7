"""From tokens to text a reader may see: no half characters, no stop strings, nothing taken back later.

A byte-level tokenizer splits one emoji over several tokens; decoding the first of them alone gives U+FFFD.
``Detokenizer`` therefore keeps back what ends in one until it is whole. ``StopFilter`` keeps back what may be
the beginning of a stop string.
"""

from collections.abc import Callable, Sequence

BROKEN = "\ufffd"
LONGEST_CHARACTER = 4  # a UTF-8 character has at most four bytes, so at most four tokens


class Detokenizer:
    """``push`` a token, get the text that has become certain. Decoding sees the previous piece too, because a
    token's leading space may depend on it."""

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._tokens: list[int] = []
        self._shown_from = 0
        self._shown_to = 0

    def push(self, token: int) -> str:
        self._tokens.append(token)
        end = len(self._tokens)
        text = self._pending_text(end)
        if text.endswith(BROKEN):
            if end - self._shown_to < LONGEST_CHARACTER:
                return ""
            # no character begins with this token: let it go, what follows may still become one
            end = self._shown_to + 1
            text = self._pending_text(end)
        self._shown_from, self._shown_to = self._shown_to, end
        return text

    def finish(self) -> str:
        """What is left at the end; a character that never became whole is dropped."""
        text = self._pending_text(len(self._tokens)).rstrip(BROKEN)
        self._shown_from = self._shown_to = len(self._tokens)
        return text

    def _pending_text(self, end: int) -> str:
        shown = self._decode(self._tokens[self._shown_from : self._shown_to])
        return self._decode(self._tokens[self._shown_from : end])[len(shown) :]


class StopFilter:
    """Passes text on until one of ``stops`` appears, wherever the pieces are cut.

    The stop string itself is not passed on.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.stopped = False

    def push(self, text: str) -> str:
        if self.stopped:
            return ""
        self._held += text
        places = [self._held.find(stop) for stop in self._stops if stop in self._held]
        if places:
            self.stopped = True
            return self._release(min(places))
        return self._release(len(self._held) - self._possible_beginning())

    def finish(self) -> str:
        return "" if self.stopped else self._release(len(self._held))

    def _release(self, length: int) -> str:
        released, self._held = self._held[:length], self._held[length:]
        return released

    def _possible_beginning(self) -> int:
        """Length of the longest end of what is held that a stop string begins with."""
        longest = 0
        for stop in self._stops:
            for length in range(min(len(stop) - 1, len(self._held)), longest, -1):
                if self._held.endswith(stop[:length]):
                    longest = length
                    break
        return longest
