"""Curves as SVG, so that a notebook shows them wherever it is opened,
without being run; and as CSV in wide form."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from core.fine_tuning.monitor.series import downsample

Points = Sequence[tuple[int, float]]
WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 34, 34
COLOURS = ("#4f6bed", "#d9822b", "#2e9e6b", "#a854c4")
MAX_POINTS = 1500  # of each series in a picture
TICKS = 5


def wide_csv(series: Mapping[str, Points]) -> str:
    """One line per step, one column per series, empty where nothing was measured."""
    names = list(series)
    values = {name: dict(points) for name, points in series.items()}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["step", *names])
    for step in sorted({step for points in series.values() for step, _ in points}):
        writer.writerow([step, *(values[name].get(step, "") for name in names)])
    return out.getvalue()


def thinned(series: Mapping[str, Points], most: int) -> dict[str, Points]:
    return {name: downsample(points, most) for name, points in series.items()}


def svg(title: str, series: Mapping[str, Points], labels: Mapping[str, str]) -> str:
    """Lines over steps with axes and a legend; dark enough for white and light enough for black paper."""
    drawn = {
        name: [p for p in points if math.isfinite(p[1])]
        for name, points in thinned(series, MAX_POINTS).items()
    }
    drawn = {name: points for name, points in drawn.items() if points}
    every = [point for points in drawn.values() for point in points]
    x_axis = _nice(min((x for x, _ in every), default=0), max((x for x, _ in every), default=1))
    y_axis = _nice(min((y for _, y in every), default=0.0), max((y for _, y in every), default=1.0))
    parts = [_grid(x_axis, y_axis), *_legend(drawn, labels)]
    for colour, points in zip(COLOURS * len(drawn), drawn.values(), strict=False):
        parts.append(_line(points, x_axis, y_axis, colour))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" aria-label="{escape(title)}" font-family="system-ui, '
        f'sans-serif" font-size="12"><rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>'
    )
    return f"{head}{''.join(parts)}</svg>"


def _nice(low: float, high: float) -> tuple[float, float, float]:
    """(first tick, last tick, step between) around the values, at round numbers."""
    if high <= low:
        low, high = low - (abs(low) or 1) * 0.5, high + (abs(high) or 1) * 0.5
    rough = (high - low) / TICKS
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough)
    return math.floor(low / step) * step, math.ceil(high / step) * step, step


def _x(value: float, axis: tuple[float, float, float]) -> float:
    return LEFT + (value - axis[0]) / (axis[1] - axis[0]) * (WIDTH - LEFT - RIGHT)


def _y(value: float, axis: tuple[float, float, float]) -> float:
    return HEIGHT - BOTTOM - (value - axis[0]) / (axis[1] - axis[0]) * (HEIGHT - TOP - BOTTOM)


def _ticks(axis: tuple[float, float, float]) -> Iterable[float]:
    first, end, step = axis
    return (first + step * i for i in range(round((end - first) / step) + 1))


def _grid(x_axis: tuple[float, float, float], y_axis: tuple[float, float, float]) -> str:
    parts = []
    for tick in _ticks(y_axis):
        y = _y(tick, y_axis)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#d5d8de"/>')
        parts.append(
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#4a4f5a">{_number(tick)}</text>'
        )
    for tick in _ticks(x_axis):
        place = f'x="{_x(tick, x_axis):.1f}" y="{HEIGHT - BOTTOM + 18}"'
        parts.append(f'<text {place} text-anchor="middle" fill="#4a4f5a">{_number(tick)}</text>')
    return "".join(parts)


def _legend(drawn: Mapping[str, Points], labels: Mapping[str, str]) -> Iterable[str]:
    x = LEFT
    for colour, name in zip(COLOURS * len(drawn), drawn, strict=False):
        text = labels.get(name, name)
        yield f'<circle cx="{x + 5}" cy="16" r="5" fill="{colour}"/>'
        yield f'<text x="{x + 15}" y="20" fill="#20242c">{escape(text)}</text>'
        x += 40 + 7 * len(text)


def _line(
    points: Points, x_axis: tuple[float, float, float], y_axis: tuple[float, float, float], colour: str
) -> str:
    if len(points) == 1:
        step, value = points[0]
        return f'<circle cx="{_x(step, x_axis):.1f}" cy="{_y(value, y_axis):.1f}" r="3" fill="{colour}"/>'
    path = " ".join(f"{_x(step, x_axis):.1f},{_y(value, y_axis):.1f}" for step, value in points)
    return (
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6" '
        f'stroke-linejoin="round"/>'
    )


def _number(value: float) -> str:
    if value and (abs(value) >= 1e6 or abs(value) < 1e-3):
        return f"{value:.1e}"
    return f"{value:,.6g}"
