"""The report of one or several runs: tables, figures and verdict, as Markdown and as one page."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .comparison import Comparison
from .evidence import sections
from .field_plots import Samples, field_panel
from .page import write_page
from .plots import error_time, training_curves
from .sample_errors import SampleErrors
from .shifted import ShiftedRow, errors_of
from .tables import markdown_table, read_csv, write_csv


def write_report(
    folder: str | Path,
    *,
    title: str,
    introduction: str = "",
    evaluations: Sequence[Mapping[str, object]] = (),
    samples: Samples | None = None,
    curves: Mapping[str, str | Path] | None = None,
    metric: str = "relative_l2",
    comparison: Comparison | None = None,
    draw: Callable[[Any, Path], Path] = error_time,
    films: Mapping[str, Path] | None = None,
    runs: Mapping[str, Any] | None = None,
    data: Mapping[str, str | Path] | None = None,
) -> Path:
    """Write report.md and report.html, figures in plots/ and files of numbers; returns report.md.

    Links are relative, so that the folder can be moved; report.html contains its figures. Sections
    without data are omitted.

    Args:
        folder: created if it does not exist.
        title: first heading.
        introduction: Markdown between the title and the first table.
        evaluations: table of test results, one mapping (column -> text or number) per line.
        samples: test problems to draw.
        curves: label -> metrics.csv of a run.
        metric: its column with the validation error.
        comparison: the study with classical solvers.
        draw: the figure of the study, (comparison, file) -> file.
        films: title -> figure in plots/ of a predicted trajectory.
        runs: name -> run, for the sections of `evidence.sections`.
        data: name -> file on which the runs are evaluated; by default their test files.

    Raises:
        ValueError: the lines of `evaluations` differ in their columns, or a metrics.csv is empty.
    """
    folder = Path(folder)
    plots = folder / "plots"
    plots.mkdir(parents=True, exist_ok=True)
    parts = [f"# {title}"]
    if introduction:
        parts.append(introduction.strip())
    if evaluations:
        parts += ["## Evaluation on unseen data", evaluation_table(evaluations)]
    if comparison is not None:
        draw(comparison, plots / "error_time.png")
        comparison.to_csv(folder / "compare.csv")
        parts += [
            f"## {comparison.heading}",
            "![Relative error over seconds per solve](plots/error_time.png)",
            comparison.to_markdown(),
            "All rows with their spread: [compare.csv](compare.csv).",
        ]
    if samples is not None:
        field_panel(plots / "fields.png", samples)
        parts += ["## Fields", "![Input, truth, predictions and errors](plots/fields.png)"]
    for heading, film in (films or {}).items():
        parts += [f"## {heading}", f"![{heading}](plots/{film.name})"]
    if curves:
        training_curves(plots / "training.png", curves, column=metric)
        write_csv(folder / "training.csv", _epochs(curves, metric))
        parts += [
            "## Training",
            "![Error and loss over epochs](plots/training.png)",
            "The epochs: [training.csv](training.csv).",
        ]
    if runs:
        parts += sections(folder, runs, data, _compared(comparison, runs))
    text = "\n\n".join(parts) + "\n"
    report = folder / "report.md"
    draft = report.with_name("report.md.part")
    draft.write_text(text, encoding="utf-8")
    draft.replace(report)
    write_page(report.with_suffix(".html"), title, text)
    return report


def _compared(comparison: Comparison | None, runs: Mapping[str, Any]) -> list[SampleErrors]:
    """The errors of the runs in a study: on its samples, and on other distributions of the
    inputs."""
    if comparison is None:
        return []
    seeds = {name: run.recipe.seed for name, run in runs.items()}
    found = [
        ShiftedRow(comparison.samples, "", row, row.errors, time=comparison.end)
        for row in comparison.rows
        if comparison.samples and row.method in seeds and row.batch == 1
    ]
    found += [row for row in comparison.shifted if row.row.method in seeds]
    return errors_of(found, seeds, comparison.metric)


def _epochs(curves: Mapping[str, str | Path], metric: str) -> list[dict[str, object]]:
    """The lines of the training curves: one for each run and epoch."""
    columns = ("epoch", metric, "train_loss", "seconds")
    return [
        {"run": label, **{name: line.get(name) for name in columns}}
        for label, file in curves.items()
        for line in read_csv(file)
    ]


def evaluation_table(lines: Sequence[Mapping[str, object]]) -> str:
    """Test results as a Markdown table; numbers with three digits, None as "-".

    Raises:
        ValueError: the lines differ in their columns.
    """
    header = list(lines[0])
    for line in lines:
        if list(line) != header:
            raise ValueError(
                f"All lines of a table have the same columns; expected {header}, got {list(line)}."
            )
    return markdown_table(header, [list(line.values()) for line in lines])
