"""Plots as SVG, drawn by hand: they live in the page, follow its colours, and need no library."""

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 560, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 24, 30
Series = Mapping[str, Sequence[float | None]]
Curves = Mapping[str, Sequence[float | None]]


def bars(groups: Sequence[str], series: Series, unit: str = "") -> str:
    """Bars side by side: for each of `groups` one of every series, none where its value is None."""
    scale = _Scale([value for values in series.values() for value in values if value is not None], zero=True)
    room = (WIDTH - LEFT - RIGHT) / len(groups)
    wide = min(38.0, 0.76 * room / len(series))
    drawn = [scale.grid(unit)]
    for g, group in enumerate(groups):
        middle = LEFT + (g + 0.5) * room
        drawn.append(
            f'<text x="{middle:.1f}" y="{HEIGHT - 9}" class="axis" text-anchor="middle">{escape(group)}</text>'
        )
        for s, (name, values) in enumerate(series.items()):
            x, value = middle + (s - len(series) / 2) * wide, values[g]
            if value is None:
                continue
            top, bottom = sorted((scale.y(value), scale.y(0)))
            drawn.append(
                f'<rect x="{x + 1:.1f}" y="{top:.1f}" width="{wide - 2:.1f}" height="{max(bottom - top, 1):.1f}" '
                f'rx="2" class="s{s}"><title>{escape(name)}, {escape(group)}: {value:.4g}{unit}</title></rect>'
                f'<text x="{x + wide / 2:.1f}" y="{(top if value >= 0 else bottom + 13) - 3:.1f}" class="value" '
                f'text-anchor="middle">{value:.3g}</text>'
            )
    return _figure(drawn, list(series), 0)


def lines(series: Curves, unit: str = "", across: str = "frame") -> str:
    """Curves over the numbers of frames, from 1, without those whose value is None; in the colours of models, of which
    real clips have the first."""
    scale = _Scale([value for values in series.values() for value in values if value is not None], zero=False)
    longest = max(len(values) for values in series.values())
    step = (WIDTH - LEFT - RIGHT) / max(1, longest - 1)
    drawn = [scale.grid(unit)]
    for tick in sorted({0, (longest - 1) // 2, longest - 1}):
        anchor = "start" if tick == 0 else "end" if tick == longest - 1 else "middle"
        label = f"{across} {tick + 1}" if tick == 0 else str(tick + 1)
        drawn.append(
            f'<text x="{LEFT + tick * step:.1f}" y="{HEIGHT - 9}" class="axis" text-anchor="{anchor}">{label}</text>'
        )
    for s, (name, values) in enumerate(series.items(), start=1):
        there = [(k, value) for k, value in enumerate(values) if value is not None]
        points = " ".join(f"{LEFT + k * step:.1f},{scale.y(value):.1f}" for k, value in there)
        drawn.append(f'<polyline points="{points}" class="line s{s}"><title>{escape(name)}</title></polyline>')
        drawn += [
            f'<circle cx="{LEFT + k * step:.1f}" cy="{scale.y(value):.1f}" r="2.6" class="s{s}">'
            f"<title>{escape(name)}, {across} {k + 1}: {value:.4g}{unit}</title></circle>"
            for k, value in there
        ]
    return _figure(drawn, list(series), 1)


class _Scale:
    """Values to heights, with round ticks."""

    def __init__(self, values: Sequence[float], zero: bool) -> None:
        low, high = min(values), max(values)
        if zero:
            low, high = min(0.0, low), max(0.0, high)
        if high - low < 1e-9:
            high, low = high + 1, (low if zero else low - 1)
        step = _round_step((high - low) / 4)
        first, last = int((low + 1e-9 * step) // step), -int(-(high - 1e-9 * step) // step)
        self.ticks = [k * step for k in range(first, last + 1)]

    def y(self, value: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    def grid(self, unit: str) -> str:
        return "".join(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{self.y(t):.1f}" y2="{self.y(t):.1f}" class="grid"/>'
            f'<text x="{LEFT - 7}" y="{self.y(t) + 4:.1f}" class="axis" text-anchor="end">{t:.6g}</text>'
            for t in self.ticks
        ) + (f'<text x="{LEFT}" y="{TOP - 13}" class="axis">{escape(unit)}</text>' if unit else "")


def _round_step(step: float) -> float:
    """The nearest of 1, 2, 5 times a power of ten that is no smaller."""
    power = 10.0 ** int(f"{step:e}".partition("e")[2])
    return next(k * power for k in (1, 2, 5, 10) if k * power >= step * 0.999)


def _label(x: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{HEIGHT - 9}" class="axis" text-anchor="{anchor}">{escape(text)}</text>'


def _figure(drawn: Sequence[str], names: Sequence[str], first: int) -> str:
    keys = "".join(
        f'<span class="key"><i class="s{s}"></i>{escape(name)}</span>' for s, name in enumerate(names, first)
    )
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(drawn)}</svg>'
    return f'{svg}<div class="keys">{keys}</div>'
