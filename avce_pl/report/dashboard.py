"""W&B dashboards as code: one saved view for each table of the paper, and one for all runs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import wandb
from wandb_workspaces import expr
from wandb_workspaces.reports.v2 import interface as wr
from wandb_workspaces.workspaces import interface as ws

from avce_pl.errors import AvceError
from avce_pl.report.metrics import columns
from avce_pl.report.output import write_output
from avce_pl.report.tables.layout import read_layout
from avce_pl.utils.resources import ROOT

_NOTE = (
    "Runs tagged `synthetic` or `synthetic_video` are on procedural faces: their numbers are not comparable with "
    "published ones."
)
LOSSES = ("loss", "loss_supervised", "loss_crl", "loss_regularisation")
CONTRAST = ("views", "scores", "dead_latents", "gradient_share")


def views(entity: str, project: str) -> Iterator[ws.Workspace]:
    """The views: all runs, and for every table of ``experiments/tables`` its metrics over the W&B runs of its sweep."""
    yield _view("All runs", entity, project, columns(()), ws.RunsetSettings(groupby=[expr.Metric("Group")]))
    for file in sorted((ROOT / "experiments" / "tables").glob("*.yaml")):
        layout = read_layout(file.stem)
        assert layout is not None
        metrics = {key: title for key, title in layout.metrics.items() if key.startswith("test/")}
        runs = ws.RunsetSettings(
            filters=expr.And(
                expr.Metric("Group") == layout.folder,
                *(expr.Config(f"{group}.name").isin(list(options)) for group, options in layout.only.items()),
            ),
            groupby=[expr.Config(f"{group}.name") for group in layout.rows],
            pinned_columns=[f"summary:{key}" for key in metrics],
        )
        yield _view(layout.title, entity, project, metrics, runs)


def write_dashboard(out: Path, entity: str | None, project: str, *, publish: bool) -> list[str]:
    """Writes all views as JSON, and publishes them.

    The file keeps their names on the server, so that publishing again updates the same views.

    Args:
        out: The file.
        entity: User or team on the server; the owner of the key if not given.
        project: The project, as in ``logger.project``.
        publish: Whether to publish them.

    Returns:
        The addresses of the published views.

    Raises:
        AvceError: the file cannot be read or written, or the server rejects the views.
    """
    known = _published(out)
    addresses = []
    try:
        entity = entity or (wandb.Api().default_entity if publish else "") or ""
        specifications = []
        for view in views(entity, project):
            view._internal_name, view._internal_id = known.get((entity, project, view.name), ("", ""))
            if publish:
                cast(Any, view).save()
                addresses.append(view.url)
            specifications.append(view._to_model().model_dump(mode="json", by_alias=True, exclude_none=True))
    except (wandb.errors.Error, OSError, RuntimeError, ValueError) as error:  # of the client, for a bad answer
        raise AvceError(f"W&B rejected the views: {error}") from None
    write_output(out, json.dumps(specifications, indent=1))
    return addresses


def _published(file: Path) -> dict[tuple[str, str, str], tuple[str, str]]:
    """Entity, project and title of the views in a file -> their names on the server."""
    try:
        views: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
        return {(v["entity"], v["project"], v["displayName"]): (v["name"], v["id"]) for v in views}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError):
        raise AvceError(f"{file} was not written by avce dashboard. Choose another file with --out.") from None


def _view(title: str, entity: str, project: str, metrics: Mapping[str, str], runs: ws.RunsetSettings) -> ws.Workspace:
    bars = [
        wr.BarPlot(title=name, metrics=[key], groupby_aggfunc="mean", groupby_rangefunc="stddev")
        for key, name in metrics.items()
    ]
    validation = [key.replace("test/", "val/") for key in metrics]
    return ws.Workspace(
        entity=entity,
        project=project,
        name=title,
        sections=[
            ws.Section(name="Test split", panels=[*bars, wr.MarkdownPanel(markdown=_NOTE)], is_open=True),
            ws.Section(name="Validation", panels=_lines("epoch", validation), is_open=True),
            ws.Section(name="Losses", panels=_lines("trainer/global_step", [f"train/{name}" for name in LOSSES])),
            ws.Section(
                name="Contrast", panels=_lines("trainer/global_step", [f"train/contrast_{name}" for name in CONTRAST])
            ),
            ws.Section(
                name="Faces and predictions",
                panels=[
                    wr.MediaBrowser(media_keys=["test/figure"]),
                    wr.WeavePanelSummaryTable(table_name="test/predictions"),
                ],
            ),
        ],
        settings=ws.WorkspaceSettings(max_runs=100),
        runset_settings=runs,
    )


def _lines(x: str, names: Sequence[str]) -> list[Any]:
    return [
        wr.LinePlot(title=name, x=x, y=[name], groupby_aggfunc="mean", groupby_rangefunc="minmax") for name in names
    ]
