# What the results of `make bench` mean, and the table that is printed.

import json
import os

from rows import GROUPS, ROWS


def load(folder):
    """The groups that were measured, now or before, by name."""
    results = {}
    for name in GROUPS:
        path = f"{folder}/{name}.json"
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                results[name] = json.load(file)
    return results


def row_cells(row, results):
    """(subject, median, min, max, ratio to the baseline or None) of each subject that was measured."""
    subjects = results.get(row.group, {}).get("fields", {}).get(row.field, {})
    base = subjects.get(row.baseline, {}).get("median")
    for subject, found in subjects.items():
        yield (subject, found["median"], found["min"], found["max"],
               found["median"] / base if base else None)


def limit(row, cells):
    """The most that Nacre may have, in the row's unit; None: no target."""
    if row.target_value:
        return row.target_value
    base = {subject: median for subject, median, *_ in cells}.get(row.baseline)
    return row.target_ratio * base if row.target_ratio and base else None


def verdict(row, cells):
    most = limit(row, cells)
    if most is None:
        return ""
    ours = {subject: median for subject, median, *_ in cells}["nacre"]
    share = f" ({row.target_ratio:g} of {row.baseline})" if row.target_ratio else ""
    return f"at most {most:.3g} {row.unit}{share}: {'reached' if ours <= most else 'MISSED'}"


def table(results):
    lines = [f"{'':42}{'':24}{'median':>10} {'min':>9} {'max':>9} {'ratio':>7}"]
    for row in ROWS:
        cells = list(row_cells(row, results))
        for number, (subject, median, low, high, ratio) in enumerate(cells):
            title = f"{row.title}, {row.unit}" if number == 0 else ""
            shown = f"{ratio:7.2f}" if ratio is not None else f"{'':7}"
            target = verdict(row, cells) if subject == "nacre" else ""
            lines.append(f"{title:42.42}{subject:24}{median:10.2f} {low:9.2f} {high:9.2f} {shown}  {target}".rstrip())
    return "\n".join(lines)
