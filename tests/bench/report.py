# The table and the page of `make bench`, from build/bench/*.json.

import json
import os
from html import escape

from rows import GROUPS, ROWS

WIDTH = 900
LEFT = 180
BAR = 18
GAP = 26
COLOURS = {"nacre": "#1b7f79", "qemu": "#c8553d", "qemu, our parameters": "#e09f7d", "runc": "#7a7a9d",
           "crun": "#a5a5c0"}


def load(folder):
    results = {}
    for name in GROUPS:
        path = f"{folder}/{name}.json"
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                results[name] = json.load(file)["fields"]
    return results


def row_cells(row, results):
    """(subject, median, min, max, ratio to the baseline) of each subject that was measured."""
    subjects = results.get(row.group, {}).get(row.field, {})
    base = subjects.get(row.baseline, {}).get("median")
    for subject, found in subjects.items():
        yield (subject, found["median"], found["min"], found["max"],
               found["median"] / base if base else None)


def verdict(row, ours, ratio):
    if row.target_value:
        word = "reached" if ours <= row.target_value else "MISSED"
        return f"at most {row.target_value:g} {row.unit}: {word}"
    if row.target_ratio and ratio is not None:
        word = "reached" if ratio <= row.target_ratio else "MISSED"
        return f"at most {row.target_ratio:g} of {row.baseline}: {word}"
    return ""


def table(results):
    lines = [f"{'':42}{'':24}{'median':>10} {'min':>9} {'max':>9} {'ratio':>7}"]
    for row in ROWS:
        for number, (subject, median, low, high, ratio) in enumerate(row_cells(row, results)):
            title = f"{row.title}, {row.unit}" if number == 0 else ""
            shown = f"{ratio:7.2f}" if ratio is not None else f"{'':7}"
            target = verdict(row, median, ratio) if subject == "nacre" else ""
            lines.append(f"{title:42.42}{subject:24}{median:10.2f} {low:9.2f} {high:9.2f} {shown}  {target}".rstrip())
    return "\n".join(lines)


def text(x, y, words, **attributes):
    more = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in attributes.items())
    return f'<text x="{x}" y="{y}"{more}>{escape(words)}</text>'


def bars(row, results, y):
    cells = list(row_cells(row, results))
    most = max(high for _, _, _, high, _ in cells)
    scale = (WIDTH - LEFT - 160) / most if most else 0
    target = verdict(row, cells[0][1], cells[0][4])
    title = f"{row.title} ({row.unit})" + (f" - {target}" if target else "")
    parts = [text(10, y + 14, title, font_weight="bold")]
    y += BAR + 4
    for subject, median, low, high, ratio in cells:
        parts.append(text(LEFT - 8, y + 14, subject, text_anchor="end"))
        parts.append(f'<rect x="{LEFT}" y="{y}" width="{median * scale:.1f}" height="{BAR}" '
                     f'fill="{COLOURS.get(subject, "#888")}"/>')
        parts.append(f'<line x1="{LEFT + low * scale:.1f}" x2="{LEFT + high * scale:.1f}" y1="{y + BAR / 2}" '
                     f'y2="{y + BAR / 2}" stroke="#222"/>')
        words = f"{median:.2f}" + (f"  ({ratio:.2f})" if ratio is not None else "")
        parts.append(text(LEFT + high * scale + 8, y + 14, words))
        y += BAR + 4
    return parts, y + GAP


def svg(results, where):
    parts, y = [text(10, 24, f"Nacre beside others, measured in {where}: medians, ratios in brackets",
                     font_size="16", font_weight="bold")], 50
    for row in ROWS:
        if results.get(row.group, {}).get(row.field):
            drawn, y = bars(row, results, y)
            parts += drawn
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" font-family="sans-serif" '
            f'font-size="13"><rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n')
