"""``avce data``: check data sets, cut faces out of videos, draw procedural ones."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from avce_pl.cli.arguments import require_writable
from avce_pl.errors import AvceError
from avce_pl.face.detectors import describe_detectors
from avce_pl.utils.files import atomic_path
from avce_pl.utils.resources import ROOT, TRAIN

data = typer.Typer(no_args_is_help=True, help="Data sets: check them, cut faces out of videos, make procedural ones.")


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
        require_writable(contact_sheet.parent)
        with atomic_path(contact_sheet) as temporary:
            Image.fromarray(draw_sheet(size=size or 128, seed=seed)).save(temporary)
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
            typer.echo(f"train on it with: {TRAIN} dataset={dataset} root={out}")


@data.command()
def prepare(
    layout: Annotated[
        str | None, typer.Argument(help="An option of the group dataset that has videos, such as aff_wild, or csv.")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of the data set.")] = None,
    video: Annotated[
        list[str] | None, typer.Option(help="A video file of your own, or a pattern in quotes; may be repeated.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the crops and their table; prepared, in the root if there is one.")
    ] = None,
    detector: Annotated[
        str,
        typer.Option(
            help=f"Face detector. provided: the data set's own boxes, which auto prefers; {describe_detectors()}."
        ),
    ] = "auto",
    margin: Annotated[float, typer.Option(min=0, max=4, help="Share by which a crop exceeds the face's box.")] = 0.3,
    size: Annotated[int, typer.Option(min=16, max=2048, help="Side of a crop in pixels.")] = 224,
    yunet_model: Annotated[Path | None, typer.Option(help="File of YuNet's model.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Videos at a time.")] = os.cpu_count() or 1,
) -> None:
    """Cuts the faces out of videos, or of the images in CSV lists; the same command resumes an interrupted one."""
    from avce_pl.prepare.dataset import prepare_dataset
    from avce_pl.prepare.record import PrepareSettings

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
    from avce_pl.dataset.check.check import check as examine
    from avce_pl.dataset.check.samples import REGIONS
    from avce_pl.report.output import write_output
    from avce_pl.report.pages.check import check_page
    from avce_pl.report.pages.check_text import print_check

    chosen = [f"protocol={protocol}"] if protocol else []
    made = examine(open_dataset(dataset, root, [*(options or []), *chosen]), dataset)
    if html is not None:
        require_writable(html.parent)
        write_output(html, check_page(made.record, made.samples, REGIONS))
    if as_json:
        typer.echo(json.dumps(made.record))
    else:
        print_check(made.record, Console())
    raise typer.Exit(int(not made.record["clean"]))
