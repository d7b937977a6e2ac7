"""A sequence as the model sees it: every token, whether it is learned, only read, or cut.

Nothing of a row is ever read as HTML.
"""

from pathlib import Path

from core.fine_tuning.before.preview import Sequence, TokenPiece
from core.ui.elements import component

HERE = Path(__file__).parent
LEARNED, CUT, SPECIAL, JOINED, STARTS = 1, 2, 4, 8, 16  # tokens.js knows them too


def show(key: str, sequence: Sequence, *, title: str, tone: str = "", boundaries: bool) -> None:
    """``tone``: "better" or "worse" for the answers of a preference."""
    component.reserve(key, _height(sequence))
    component.declare("tokens", HERE, stem="tokens")(
        key=key,
        data={
            "title": title,
            "tone": tone,
            "counts": describe(sequence),
            "pieces": [[piece.text, piece.id, _bits(piece)] for piece in sequence.pieces],
            "left_out": sequence.num_tokens - len(sequence.pieces),
            "boundaries": boundaries,
        },
    )


def _height(sequence: Sequence) -> float:
    """In rem, of lines with about 100 characters."""
    text = "".join(piece.text for piece in sequence.pieces)
    return 1.6 + 1.5 * sum(1 + len(line) // 100 for line in text.split("\n"))


def describe(sequence: Sequence) -> str:
    """``203 tokens · 144 learned · 19 cut away``"""
    parts = [f"{sequence.num_tokens:,} tokens", f"{sequence.num_learned:,} learned"]
    if sequence.num_cut:
        parts.append(f"{sequence.num_cut:,} cut away")
    if sequence.num_sequences > 1:
        parts.append(f"learned in {sequence.num_sequences:,} pieces")
    return " · ".join(parts)


def _bits(piece: TokenPiece) -> int:
    flags = (
        (piece.learned, LEARNED),
        (piece.cut, CUT),
        (piece.special, SPECIAL),
        (piece.joined, JOINED),
        (piece.starts, STARTS),
    )
    return sum(bit for is_set, bit in flags if is_set)
