"""The command ``avce``: faces without a licence, predictions, tables from run folders, and a look at the machine."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from avce_pl.errors import AvceError
from avce_pl.utils.resources import ROOT

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Tools around AVCE-PL; training is `python run.py`.")
data = typer.Typer(no_args_is_help=True, help="Data sets: check them, cut faces out of videos, make procedural ones.")
app.add_typer(data, name="data")


@data.command()
def protocols() -> None:
    """Lists the protocols of all data sets: how rows are chosen and split, and how many the real releases have."""
    from rich.console import Console

    from avce_pl.config.protocols import protocol_table

    Console().print(protocol_table())
    typer.echo("choose with dataset.protocol=NAME; – is not known, or no such split")


@data.command()
def synthesize(
    contact_sheet: Annotated[
        Path | None, typer.Option(help="Write one picture of many faces here (PNG or JPEG).")
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(
            help="Write a data set in this layout: csv, affectnet_2017, affectnet_2021, raf_db, aff_wild, ..."
        ),
    ] = None,
    faults: Annotated[str, typer.Option(help="Faults to put in, such as missing_image,headerless; 'all'.")] = "",
    out: Annotated[Path | None, typer.Option(help="Folder of the data set.")] = None,
    train: Annotated[
        int | None, typer.Option(min=1, help="Training images, or videos; a small number by default.")
    ] = None,
    val: Annotated[int | None, typer.Option(min=0, help="Validation images, or videos.")] = None,
    test: Annotated[int | None, typer.Option(min=0, help="Test images, or videos, in layouts that have them.")] = None,
    size: Annotated[
        int | None, typer.Option(min=32, max=1024, help="Side of an image in pixels; the layout's own by default.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Other seed, other people.")] = 0,
) -> None:
    """Writes procedural faces: a contact sheet to look at, or a data set in a real layout, faults included."""
    if contact_sheet is None and layout is None:
        raise AvceError("Say what to write: --contact-sheet faces.png, or --layout csv --out FOLDER.")
    counts = {"train": train, "val": val, "test": test}
    options = {name: value for name, value in {"size": size, **counts}.items() if value is not None}
    if contact_sheet is not None:
        from PIL import Image

        from avce_pl.synthesis import contact_sheet as draw_sheet

        if contact_sheet.suffix.lower() not in (".png", ".jpg", ".jpeg"):
            raise AvceError(f"--contact-sheet {contact_sheet}: give a name that ends in .png or .jpg.")
        _writable(contact_sheet.parent)
        Image.fromarray(draw_sheet(size=size or 128, seed=seed)).save(contact_sheet)
        typer.echo(f"wrote {contact_sheet}")
    if layout is not None:
        from avce_pl.synthesis.writers import LAYOUTS, write_layout

        if out is None:
            raise AvceError(f"--layout {layout} needs a folder to write to: --out FOLDER.")
        for fault in write_layout(layout, out, faults, seed=seed, **options):
            typer.echo(f"{fault.kind}: {fault.path} {fault.detail}")
        typer.echo(f"wrote {out}")
        dataset = LAYOUTS[layout].dataset
        if (ROOT / "conf" / "dataset" / f"{dataset}.yaml").exists():
            typer.echo(f"train on it with: python run.py dataset={dataset} root={out}")


@data.command()
def prepare(
    layout: Annotated[
        Literal["aff_wild", "aff_wild2", "afew_va", "csv"] | None, typer.Argument(help="A data set as it was unpacked.")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of the data set.")] = None,
    video: Annotated[
        list[str] | None, typer.Option(help="A video file of your own, or a pattern in quotes; may be repeated.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the crops and their table; prepared, in the root if there is one.")
    ] = None,
    detector: Annotated[
        Literal["auto", "provided", "haar", "yunet", "mtcnn", "centre"],
        typer.Option(help="Finds the faces; auto: the data set's own boxes, else yunet if it is there, else haar."),
    ] = "auto",
    margin: Annotated[float, typer.Option(min=0, max=4, help="Share by which a crop exceeds the face's box.")] = 0.3,
    size: Annotated[int, typer.Option(min=16, max=2048, help="Side of a crop in pixels.")] = 224,
    yunet_model: Annotated[Path | None, typer.Option(help="File of YuNet's model.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Videos at a time.")] = os.cpu_count() or 1,
) -> None:
    """Cuts the faces out of videos, or of the images in CSV lists; the same command resumes an interrupted one."""
    from avce_pl.prepare.pipeline import PrepareSettings, prepare_dataset

    prepared = prepare_dataset(
        layout, root, video or [], out, PrepareSettings(detector, margin, size, yunet_model), jobs
    )
    typer.echo(prepared.text())
    if prepared.faults:
        raise typer.Exit(1)


@data.command()
def check(
    dataset: Annotated[str, typer.Argument(help="An option of the group dataset, such as csv or affectnet.")],
    root: Annotated[Path, typer.Option(help="Folder of the data set.")],
    options: Annotated[
        list[str] | None,
        typer.Argument(help="Options of the data set, such as scale=10 stride=5.", metavar="KEY=VALUE"),
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="How it is split; the data set's own default if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with pictures here.")] = None,
) -> None:
    """Checks labels and images of a data set before training; the exit code is 1 if anything is wrong with them."""
    from rich.console import Console

    from avce_pl.config.open_dataset import open_dataset
    from avce_pl.dataset.check import check as examination
    from avce_pl.report.pages.check import check_page
    from avce_pl.report.pages.check_text import print_check

    chosen = [f"protocol={protocol}"] if protocol else []
    made = examination.check(open_dataset(dataset, root, [*(options or []), *chosen]), dataset)
    if html is not None:
        _writable(html.parent)
        try:
            html.write_text(check_page(made.record, made.samples, examination.REGIONS), encoding="utf-8")
        except OSError as error:
            raise AvceError(f"{html} cannot be written: {error.strerror}. Choose another file.") from None
    if as_json:
        typer.echo(json.dumps(made.record))
    else:
        print_check(made.record, Console())
    raise typer.Exit(int(not made.record["clean"]))


@app.command()
def table(
    name: Annotated[str, typer.Argument(help="A table of the paper, such as table2, or the name of any sweep.")],
    outputs: Annotated[Path, typer.Option(help="output_root of the sweep.")] = Path("outputs"),
    dataset: Annotated[str | None, typer.Option(help="Which data set, if the sweep ran on several.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds that were asked for, such as 0,1,2.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to; the sweep's own if not given.")] = None,
) -> None:
    """Makes a table from run folders alone, also while the sweep is still running: .md, .csv, .tex and .png."""
    from avce_pl.report.tables.picture import draw_confusions, draw_table
    from avce_pl.report.tables.table import make_table

    made = make_table(name, outputs, dataset, _numbers(seeds, "--seeds"))
    folder = out or outputs / name
    _writable(folder)
    paths = [*made.write(folder, name), draw_table(made, folder / f"{name}.png")]
    if made.confusions:
        paths.append(draw_confusions(made, folder / f"{name}_confusion.png"))
    typer.echo(made.markdown())
    typer.echo("files: " + ", ".join(str(path) for path in paths))


@app.command()
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
    from avce_pl.explain.figures import Choice, make_figures
    from avce_pl.runs.predictions import open_runs, runs_of_sweep

    folders = [*(runs or []), *(more or [])]
    if folders and sweep:
        raise AvceError("Say which runs: either --runs FOLDER FOLDER ..., or --name NAME of a sweep.")
    notes: list[str] = []
    out = out or (outputs if folders else outputs / (sweep or "figures")) / "figures"
    if not folders:
        folders, notes = runs_of_sweep(outputs / (sweep or "figures"))
    choice = Choice(video, _numbers(frames, "--frames"), _numbers(images, "--images"))
    opened = open_runs(folders)
    _writable(out)
    made = make_figures(name, opened, out, choice, notes)
    for note in made.notes:
        typer.echo(note, err=True)
    typer.echo("files: " + ", ".join(str(path) for path in made.files))


@app.command()
def report(
    outputs: Annotated[Path, typer.Option(help="output_root of the runs.")] = Path("outputs"),
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("report.html"),
) -> None:
    """Makes one HTML page of all tables, figures, measurements and runs below an output_root; it needs no network."""
    from avce_pl.report.pages.report import write_report

    _writable(out.parent)
    write_report(outputs, out)
    typer.echo(f"wrote {out}")


@app.command()
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
    _writable(out.parent)
    addresses = write_dashboard(out, entity, project, publish=has_key())
    typer.echo(f"wrote {out}")
    for address in addresses:
        typer.echo(f"published {address}")
    if not addresses:
        typer.echo("to publish: `wandb login`, or set WANDB_API_KEY, and the same command again")


@app.command()
def predict(
    paths: Annotated[list[str] | None, typer.Argument(help="Images, videos, folders, or patterns in quotes.")] = None,
    run: Annotated[Path | None, typer.Option(help="Run folder of the model.")] = None,
    model: Annotated[Path | None, typer.Option(help="ONNX file instead of a run folder; needs no torch.")] = None,
    camera: Annotated[int | None, typer.Option(min=0, help="Number of a camera; Ctrl-C ends.")] = None,
    out: Annotated[Path | None, typer.Option(help="Table to write: .csv or .jsonl; printed if not given.")] = None,
    annotate: Annotated[Path | None, typer.Option(help="Folder or file for annotated copies.")] = None,
    smooth: Annotated[float, typer.Option(min=0, help="Smooth over this many seconds, in columns of its own.")] = 0,
    quadrants: Annotated[bool, typer.Option(help="Name the quarter of the plane: a heuristic.")] = False,
    detector: Annotated[str, typer.Option(help="Face detector; centre takes the middle of the image.")] = "auto",
) -> None:
    """Predicts valence and arousal of every face in images, videos or before a camera. The same command resumes.

    The exit code is 1 if something could not be read; the rest is predicted.
    """
    if (run is None) == (model is None):
        raise AvceError("Say which model: --run RUN_FOLDER or --model FILE.onnx.")
    if bool(paths) == (camera is not None):
        raise AvceError("Say what to look at: images, videos or folders, or --camera 0.")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # torch's threads spin, on the core that decodes the video
    from avce_pl.inference.model import load
    from avce_pl.predict.command import Options, predict_sources
    from avce_pl.predict.sources import camera as open_camera
    from avce_pl.predict.sources import find_sources

    sources = find_sources(paths) if paths else [open_camera(camera or 0)]
    options = Options(detector=detector, smooth=smooth, quadrants=quadrants, annotate=annotate)
    counts = predict_sources(load(run or model or Path()), sources, out, options)
    typer.echo(f"{counts}" + (f"\nwrote {out}" if out else ""), err=True)
    if counts.unreadable:
        raise typer.Exit(1)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    to: Annotated[Literal["onnx"], typer.Option(help="Format.")] = "onnx",
    quantize: Annotated[Literal["int8"] | None, typer.Option(help="Smaller and faster; costs some CCC.")] = None,
    out: Annotated[Path | None, typer.Option(help="File to write; model.onnx in the run folder if not given.")] = None,
) -> None:
    """Writes a run's model as one file with everything inside that comes after the crop around a face."""
    from avce_pl.inference.export import export_onnx, quantize_int8

    out = out or run / ("model.int8.onnx" if quantize else "model.onnx")
    if quantize is None:
        typer.echo(f"wrote {out}; largest difference to PyTorch on 256 faces: {export_onnx(run, out):.1e}")
        return
    loss = quantize_int8(run, out)
    typer.echo(f"wrote {out}; CCC on {loss.faces:,} {loss.split} faces (float32 -> int8):")
    for name, before, after in zip(("valence", "arousal"), loss.float32, loss.int8, strict=True):
        typer.echo(f"  {name} {before:.4f} -> {after:.4f} ({after - before:+.4f})")


@app.command()
def card(run: Annotated[Path, typer.Argument(help="Run folder.")]) -> None:
    """Writes MODEL_CARD.md into a run folder: data, metrics with intervals, intended use, limits."""
    from avce_pl.report.model_card import write_model_card

    typer.echo(f"wrote {write_model_card(run)}")


@app.command()
def import_official(
    encoder: Annotated[Path, typer.Argument(help="The authors' encoder (.t7).")],
    regressor: Annotated[Path, typer.Argument(help="The authors' regressor (.t7).")],
    backbone: Annotated[Literal["al", "r18"], typer.Option(help="AlexNet or ResNet18.")],
    out: Annotated[Path, typer.Option(help="Run folder to make.")],
) -> None:
    """Makes a run folder of the authors' published weights, for predict and export."""
    from avce_pl.inference.import_released import import_official as convert

    made = convert(encoder, regressor, backbone, out)
    typer.echo(f"wrote {made.folder}; not used: {', '.join(made.unused) or 'nothing'}")


@app.command()
def doctor() -> None:
    """Says what is installed, which devices there are, and how to put right what is wrong."""
    from avce_pl.cli.doctor import examine

    raise typer.Exit(examine())


def _numbers(text: str | None, option: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")] if text else []
    except ValueError:
        raise AvceError(f"{option} {text}: give whole numbers with commas, such as 0,1,2.") from None


def _writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AvceError(f"{folder} cannot be written: {error.strerror}. Choose another folder.") from None


def main() -> None:
    """The entry point: an `AvceError` is printed as a sentence, without a traceback."""
    try:
        app()
    except AvceError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
