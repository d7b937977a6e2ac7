"""How much of a prompt is read while others wait."""

from core.inference.pace import SIZES, ReadingPace


def taught() -> ReadingPace:
    """A millisecond, and one more for each 16 tokens."""
    pace = ReadingPace()
    for size in SIZES:
        pace.note(size, 0.001 + size / 16_000)
    return pace


def test_the_largest_piece_within_the_time() -> None:
    pace = taught()
    chosen = [pace.choose(seconds) for seconds in (0.0001, 0.0021, 0.0049, 0.0051, 1.0)]
    assert chosen == [16, 16, 32, 64, 512]


def test_a_prompt_whose_pieces_take_longer_gets_smaller_ones() -> None:
    pace = taught()
    slower = pace.slower_than(64, 0.010)
    assert round(slower, 3) == 2.0
    assert (pace.choose(0.0051), pace.choose(0.0051, slower=slower)) == (64, 16)
    assert pace.choose(0.0051, slower=0.1) == 64, "a fast piece is luck, not a promise"


def test_nothing_is_slower_than_what_is_not_known() -> None:
    assert ReadingPace().slower_than(16, 5.0) == 1.0
