"""What an event costs each role, as bars beside each other: the figures of `bench.cluster` as an SVG."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Final

_COLOURS: Final = ("#3b82c4", "#7bb6e0", "#d9803c", "#5a9a5f", "#a9cf9f", "#8d6fb5")
_LEFT, _BAR, _GAP, _TOP, _WIDTH = 220, 26, 16, 54, 900
_LEAST_US: Final = 0.5


def draw(
    path: Path, costs: Mapping[str, Mapping[str, float]], rates: Mapping[str, float], roles: Sequence[str]
) -> None:
    """Draw a bar for each set-up, of what an event costs each role in us of CPU; its rate stands behind it."""
    widest = max(sum(cost[role] for role in roles) for cost in costs.values())
    scale = (_WIDTH - _LEFT - 200) / widest
    parts = [_legend(roles)]
    for row, (name, cost) in enumerate(costs.items()):
        y, x = _TOP + row * (_BAR + _GAP), float(_LEFT)
        parts.append(_text(_LEFT - 8, y + 18, name, "end"))
        for role, colour in zip(roles, _COLOURS, strict=True):
            width = cost[role] * scale
            if cost[role] >= _LEAST_US:
                title = f"<title>{escape(role)}: {cost[role]:.1f} us</title>"
                parts.append(
                    f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_BAR}" fill="{colour}">{title}</rect>'
                )
            if width > 26:
                parts.append(_text(x + width / 2, y + 18, f"{cost[role]:.0f}", "middle", "#fff"))
            x += width
        total = sum(cost[role] for role in roles)
        parts.append(_text(x + 8, y + 18, f"{total:.0f} us, {rates[name]:,.0f} events/s"))
    height = _TOP + len(costs) * (_BAR + _GAP)
    size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    title = "<title>CPU time of an event by role, in microseconds</title>"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" font-family="sans-serif" font-size="13">{title}'
    back = f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>'
    path.write_text("\n".join((head, back, *parts, "</svg>", "")), encoding="utf-8")


def _legend(roles: Sequence[str]) -> str:
    step = (_WIDTH - 20) / len(roles)
    return "\n".join(
        f'<rect x="{10 + step * at:.0f}" y="14" width="14" height="14" fill="{colour}"/>'
        + _text(30 + step * at, 26, role)
        for at, (role, colour) in enumerate(zip(roles, _COLOURS, strict=True))
    )


def _text(x: float, y: float, text: str, anchor: str = "start", colour: str = "#333") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
