"""``avce predict``, ``export``, ``import-official``: trained models at work."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from avce_pl.errors import AvceError
from avce_pl.face.detectors import describe_detectors


def predict(
    paths: Annotated[list[str] | None, typer.Argument(help="Images, videos, folders, or patterns in quotes.")] = None,
    run: Annotated[Path | None, typer.Option(help="Run folder of the model.")] = None,
    model: Annotated[Path | None, typer.Option(help="ONNX file instead of a run folder; needs no torch.")] = None,
    camera: Annotated[int | None, typer.Option(min=0, help="Number of a camera; Ctrl-C ends.")] = None,
    out: Annotated[Path | None, typer.Option(help="Table to write: .csv or .jsonl; printed if not given.")] = None,
    annotate: Annotated[Path | None, typer.Option(help="Folder or file for annotated copies.")] = None,
    smooth: Annotated[float, typer.Option(min=0, help="Smooth over this many seconds, in columns of its own.")] = 0,
    quadrants: Annotated[bool, typer.Option(help="Name the quarter of the plane: a heuristic.")] = False,
    detector: Annotated[str, typer.Option(help=f"Face detector. {describe_detectors()}.")] = "auto",
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
