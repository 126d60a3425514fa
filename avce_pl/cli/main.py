"""The command ``avce``."""

import sys
from importlib.util import find_spec
from typing import Annotated

import typer

from avce_pl.cli import data, inference, results
from avce_pl.cli.doctor import examine
from avce_pl.errors import AvceError

app = typer.Typer(no_args_is_help=True, add_completion=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        import avce_pl

        typer.echo(avce_pl.__version__)
        raise typer.Exit


@app.callback()
def options(
    trust: Annotated[
        list[str] | None, typer.Option(help="A package of your own whose classes a run may name; may be repeated.")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train, evaluate and use models of valence and arousal from faces."""
    if trust:
        from avce_pl.config import instantiate

        instantiate.trust(trust)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def train(context: typer.Context) -> None:
    """Trains one configuration, or sweeps over many with -m: the same as python run.py, whose options it takes."""
    from avce_pl.training.main import main as train_main

    sys.argv = ["avce train", *context.args]
    # further processes of a run are started as Python starts its main module
    sys.modules["__main__"].__spec__ = find_spec("avce_pl.training.main")
    train_main()


@app.command()
def doctor() -> None:
    """Says what is installed, which devices there are, and how to mend what is wrong."""
    raise typer.Exit(examine())


app.add_typer(data.data, name="data")
for command in (
    *(results.table, results.figure, results.report, results.dashboard, results.card),
    *(inference.predict, inference.export, inference.import_official),
):
    app.command()(command)


def main() -> None:
    """The entry point: an `AvceError` is printed as a sentence, without a traceback."""
    try:
        app()
    except AvceError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
