"""Draws a plot into a PNG file."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

from scripts.benchmarks.table import Plot

mpl.use("Agg")

from matplotlib import pyplot as plt


def draw(plot: Plot, path: Path) -> None:
    """Write the plot, both axes from zero."""
    figure, axes = plt.subplots(figsize=(6.4, 3.6), dpi=100)
    for name, points in plot.lines.items():
        axes.plot([x for x, _ in points], [y for _, y in points], marker="o", label=name)
    axes.set(title=plot.title, xlabel=plot.x_label, ylabel=plot.y_label)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    if len(plot.lines) > 1:
        axes.legend()
    figure.tight_layout()
    # Without the version in it, the same figures give the same file.
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)
