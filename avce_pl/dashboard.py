"""W&B dashboards as code: one saved view for each table of the paper, and one for all runs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

from avce_pl.errors import AvceError
from avce_pl.report.table import read_layout
from avce_pl.resources import ROOT

LOSSES = ("loss", "loss_supervised", "loss_crl", "loss_regularisation")
SCORES = {f"test/{name}_{axis}": f"{name.upper()} {axis}" for name in ("ccc", "rmse") for axis in ("valence", "arousal")}


def views(entity: str, project: str) -> Iterator[ws.Workspace]:
    """The views: what the tables of ``experiments/tables`` show, over the runs of the experiment of the same name."""
    yield _view("All runs", entity, project, SCORES, ws.RunsetSettings(groupby=[ws.Metric("Group")]))
    for file in sorted((ROOT / "experiments" / "tables").glob("*.yaml")):
        layout = read_layout(file.stem)
        assert layout is not None
        metrics = {key: title for key, title in layout.metrics.items() if key.startswith("test/")}
        runs = ws.RunsetSettings(
            filters=[ws.Metric("Group") == file.stem],
            groupby=[ws.Config(f"{group}.name") for group in layout.rows],
            pinned_columns=[f"summary:{key}" for key in metrics],
        )
        yield _view(layout.title, entity, project, metrics, runs)


def _view(
    title: str, entity: str, project: str, metrics: Mapping[str, str], runs: ws.RunsetSettings
) -> ws.Workspace:
    bars = [
        wr.BarPlot(title=name, metrics=[key], groupby_aggfunc="mean", groupby_rangefunc="stddev")
        for key, name in metrics.items()
    ]
    return ws.Workspace(
        entity=entity,
        project=project,
        name=title,
        sections=[
            ws.Section(name="Test split, best epoch", panels=bars, is_open=True),
            ws.Section(name="Validation", panels=_lines("epoch", [f"val/{_metric(key)}" for key in metrics]), is_open=True),
            ws.Section(name="Losses", panels=_lines("trainer/global_step", [f"train/{name}" for name in LOSSES])),
            ws.Section(
                name="Faces and predictions",
                panels=[wr.MediaBrowser(media_keys=["test/figure"]), wr.WeavePanelSummaryTable("test/predictions")],
            ),
        ],
        settings=ws.WorkspaceSettings(max_runs=100),
        runset_settings=runs,
    )


def _metric(key: str) -> str:
    return key.removeprefix("test/")


def _lines(x: str, names: Sequence[str]) -> list[wr.LinePlot]:
    aggregate = {"groupby_aggfunc": "mean", "groupby_rangefunc": "minmax"}
    return [wr.LinePlot(title=name, x=x, y=[name], **aggregate) for name in names]
