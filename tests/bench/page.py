# The page of `make bench`: a heading a group, a panel a row, a bar a subject, as SVG without scripts or fonts of its own, in the
# reader's light or dark colours.

from html import escape

from report import limit, row_cells, verdict
from rows import GROUPS, ROWS

WIDTH = 920
MARGIN = 24
LEFT = 190          # where bars begin
EDGE = WIDTH - 170  # where the longest ends, figures come behind
WIDEST = 7.5        # of a figure's characters
BAR = 18
STEP = BAR + 6
COLOURS = {  # light, dark
    "nacre": ("#0f766e", "#2dd4bf"),
    "qemu": ("#c2410c", "#fb923c"),
    "qemu, our parameters": ("#e0a07c", "#9a5a34"),
    "runc": ("#4f46e5", "#a5b4fc"),
    "crun": ("#9ca3af", "#6b7280"),
}
STYLE = """text{{font:13px system-ui,"Segoe UI","DejaVu Sans",sans-serif;fill:#1f2937}}
.paper{{fill:#fff}} .h1{{font-size:21px;font-weight:600}} .h2{{font-size:15px;font-weight:600}} .row{{font-weight:600}}
.small{{font-size:12px;fill:#4b5563}} .missed{{fill:#b91c1c;font-weight:600}} .rule{{stroke:#d1d5db}}
.range{{stroke:#1f2937}} .limit{{stroke:#1f2937;stroke-dasharray:4 3}} {light}
@media(prefers-color-scheme:dark){{text{{fill:#e5e7eb}} .paper{{fill:#111827}} .small{{fill:#9ca3af}}
.missed{{fill:#fca5a5}} .rule{{stroke:#374151}} .range,.limit{{stroke:#f3f4f6}} {dark}}}"""


def class_of(subject):
    return f"s{list(COLOURS).index(subject)}" if subject in COLOURS else "small"


def style():
    rules = ("".join(f".{class_of(subject)}{{fill:{shades[number]}}}" for subject, shades in COLOURS.items())
             for number in (0, 1))
    return STYLE.format(light=next(rules), dark=next(rules))


def text(x, y, words, kind="", anchor=""):
    more = (f' class="{kind}"' if kind else "") + (f' text-anchor="{anchor}"' if anchor else "")
    return f'<text x="{x:.1f}" y="{y:.1f}"{more}>{escape(words)}</text>'


def line(x1, y1, x2, y2, kind):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def figures(median, ratio, unit):
    return (f"{median:.0f}" if median >= 1000 else f"{median:.2f}") + f" {unit}" + (
        f"  × {ratio:.2f}" if ratio is not None and ratio != 1 else "")


class Page:
    """Drawn from top to bottom; `y` is where the next thing begins."""

    def __init__(self):
        self.parts = []
        self.y = MARGIN

    def write(self, words, kind, height):
        self.parts.append(text(MARGIN, self.y + height * 0.7, words, kind))
        self.y += height

    def rule(self):
        self.parts.append(line(MARGIN, self.y, WIDTH - MARGIN, self.y, "rule"))
        self.y += 12

    def bar(self, cell, scale, unit, limit_at):
        subject, median, low, high, ratio = cell
        middle = self.y + BAR / 2
        end = min(LEFT + high * scale, EDGE)
        words = figures(median, ratio, unit)
        figures_at = end + 10
        if figures_at - 6 < limit_at < figures_at + WIDEST * len(words):
            figures_at = limit_at + 8
        self.parts += [
            text(LEFT - 10, middle + 4.5, subject, anchor="end"),
            f'<rect x="{LEFT}" y="{self.y}" width="{max(median * scale, 1):.1f}" height="{BAR}" rx="2" '
            f'class="{class_of(subject)}"/>',
            text(figures_at, middle + 4.5, words)]
        if end - (LEFT + low * scale) >= 2:
            self.parts.append(line(LEFT + low * scale, middle, end, middle, "range"))
        self.y += STEP

    def panel(self, row, cells):
        most = limit(row, cells)
        scale = (EDGE - LEFT) / (1.05 * max([median for _, median, *_ in cells] + [most or 0]))
        limit_at = LEFT + most * scale if most is not None else 0
        words = verdict(row, cells)
        self.parts.append(text(MARGIN, self.y + 13, row.title, "row"))
        self.parts.append(text(WIDTH - MARGIN, self.y + 13, words, "missed" if "MISSED" in words else "small", "end"))
        self.y += 24
        top = self.y
        for cell in cells:
            self.bar(cell, scale, row.unit, limit_at)
        if most is not None:
            self.parts.append(line(limit_at, top - 4, limit_at, self.y - 2, "limit"))
        self.y += 14


def group(page, name, result, results):
    page.rule()
    page.write(GROUPS[name].title, "h2", 24)
    page.write(f"Measured {result['where']}, {result['date']}", "small", 24)
    for row in ROWS:
        cells = list(row_cells(row, results)) if row.group == name else []
        if cells:
            page.panel(row, cells)


def versions(results):
    return {name: version for result in results.values() for name, version in result["versions"].items()}


def svg(results):
    page = Page()
    page.write("Nacre beside QEMU's microvm, runc and crun", "h1", 32)
    page.write("Medians; a thin line from the least to the most; × is the ratio to the baseline; dashed: what Nacre aims at.",
               "small", 24)
    for name, result in results.items():
        group(page, name, result, results)
    page.rule()
    page.write("Measured with", "row", 22)
    for name, version in versions(results).items():
        page.write(f"{name}: {version}", "small", 18)
    height = page.y + 12
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}"><style>{style()}</style>'
            f'<rect width="100%" height="100%" class="paper"/>{"".join(page.parts)}</svg>\n')
