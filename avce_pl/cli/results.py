"""``avce table``, ``figure``, ``report``, ``dashboard``, ``card``: what finished runs say, from their folders alone."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from avce_pl.cli.arguments import parse_numbers, require_writable
from avce_pl.errors import AvceError


def table(
    name: Annotated[str, typer.Argument(help="A table of the paper, such as table2, or the name of any sweep.")],
    outputs: Annotated[Path, typer.Option(help="output_root of the sweep.")] = Path("outputs"),
    dataset: Annotated[str | None, typer.Option(help="Which data set, if the sweep ran on several.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds that the table should have, such as 0,1,2.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to; the sweep's own if not given.")] = None,
) -> None:
    """Makes a table from run folders alone, also while the sweep is still running: .md, .csv, .tex and .png."""
    from avce_pl.report.tables.picture import write_pictures
    from avce_pl.report.tables.table import make_table

    made = make_table(name, outputs, dataset, parse_numbers(seeds, "--seeds"))
    folder = out or outputs / name
    require_writable(folder)
    paths = [*made.write(folder, name), *write_pictures(made, folder, name)]
    typer.echo(made.markdown())
    typer.echo("files: " + ", ".join(str(path) for path in paths))


def figure(
    name: Annotated[
        Literal["figure2", "figure3", "figure4", "figure5", "analysis", "all"], typer.Argument(help="Which figure.")
    ],
    more: Annotated[list[Path] | None, typer.Argument(help="Further run folders, after --runs.", hidden=True)] = None,
    runs: Annotated[list[Path] | None, typer.Option(help="Run folders: --runs FOLDER FOLDER ...")] = None,
    sweep: Annotated[
        str | None, typer.Option("--name", help="Instead: name= of a sweep, 'figures' if not given.")
    ] = None,
    outputs: Annotated[Path, typer.Option(help="output_root of the sweep.")] = Path("outputs"),
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to; OUTPUTS/figures or OUTPUTS/NAME/figures if not given.")
    ] = None,
    video: Annotated[str | None, typer.Option(help="Video of Figure 2; the one that varies most if not given.")] = None,
    frames: Annotated[str | None, typer.Option(help="Its frames to show, such as 10,42; else emotional peaks.")] = None,
    images: Annotated[
        str | None, typer.Option(help="Rows (predictions.parquet) of Figures 3 and 4, such as 7,19; else spread.")
    ] = None,
) -> None:
    """Draws the paper's figures and further analyses from run folders: .png, .svg and the numbers as .json."""
    from avce_pl.explain.figures import FigureChoice, make_figures
    from avce_pl.runs.predictions import open_runs, runs_of_sweep

    folders = [*(runs or []), *(more or [])]
    if folders and sweep:
        raise AvceError("Say which runs: either --runs FOLDER FOLDER ..., or --name NAME of a sweep.")
    notes: list[str] = []
    out = out or (outputs if folders else outputs / (sweep or "figures")) / "figures"
    if not folders:
        folders, notes = runs_of_sweep(outputs / (sweep or "figures"))
    choice = FigureChoice(video, parse_numbers(frames, "--frames"), parse_numbers(images, "--images"))
    opened = open_runs(folders)
    require_writable(out)
    made = make_figures(name, opened, out, choice, notes)
    for note in made.notes:
        typer.echo(note, err=True)
    typer.echo("files: " + ", ".join(str(path) for path in made.files))


def report(
    outputs: Annotated[Path, typer.Option(help="output_root of the runs.")] = Path("outputs"),
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("report.html"),
) -> None:
    """Makes one HTML page of all tables, figures, measurements and runs below an output_root; it needs no network."""
    from avce_pl.report.pages.report import write_report

    require_writable(out.parent)
    write_report(outputs, out)
    typer.echo(f"wrote {out}")


def dashboard(
    out: Annotated[Path, typer.Option(help="JSON file of the views.")] = Path("dashboard.json"),
    entity: Annotated[str | None, typer.Option(help="W&B user or team; the key's owner if not given.")] = None,
    project: Annotated[str, typer.Option(help="W&B project, as in logger.project.")] = "avce-pl",
) -> None:
    """Builds the W&B views of the paper's tables, and publishes them where a key is configured."""
    from avce_pl.utils.wandb_key import has_key

    try:
        from avce_pl.report.dashboard import write_dashboard
    except ModuleNotFoundError as error:
        raise AvceError(f"{error.name} is missing: pip install 'avce-pl[dashboards]'.") from None
    require_writable(out.parent)
    addresses = write_dashboard(out, entity, project, publish=has_key())
    typer.echo(f"wrote {out}")
    for address in addresses:
        typer.echo(f"published {address}")
    if not addresses:
        typer.echo("to publish: `wandb login`, or set WANDB_API_KEY, and the same command again")


def card(run: Annotated[Path, typer.Argument(help="Run folder.")]) -> None:
    """Writes MODEL_CARD.md into a run folder: data, metrics with intervals, intended use, limits."""
    from avce_pl.report.model_card import write_model_card

    typer.echo(f"wrote {write_model_card(run)}")
