"""Is there a contrast? What the two transforms and the projection head make of the validation faces of finished runs.

    python experiments/diagnose_contrast.py outputs/table2/synthetic_video/avce/al/avce/none/seed_*

A line per run, over its first validation batch:

- z: mean over dimensions of the standard deviation over faces, and mean of the largest entry of a face;
- support: how many entries of Sp(z) are above zero; max Sm: the largest entry of Sm(z);
- |Sp - Sm|: distance of the two transforms, 0 where both are one-hot in the same place;
- |y_a - y_n|: distance of the views of H that the contrastive formulas compare;
- spread y_a: standard deviation of valence and arousal of y_a over faces;
- saturated: share of H's outputs beyond 0.45 in magnitude, where its tanh is flat.
"""

import sys
from pathlib import Path

import torch
import yaml
from rich.console import Console
from rich.table import Table

from avce_pl.errors import AvceError
from avce_pl.experiment import build_datamodule, load_run
from avce_pl.method.avce import AVCE
from avce_pl.settings import read_settings

COLUMNS = ("run", "z sd", "z max", "support", "max Sm", "|Sp - Sm|", "|y_a - y_n|", "spread y_a (V, A)", "saturated")


@torch.no_grad()
def diagnose(folder: Path) -> list[str]:
    """The cells of a run's line."""
    method = load_run(folder)
    if not isinstance(method, AVCE):
        raise AvceError(f"{folder} is no run of method=avce.")
    data = build_datamodule(read_settings(yaml.safe_load((folder / "config.yaml").read_text())))
    data.prepare_data()
    data.setup("fit")
    image = data.on_after_batch_transfer(next(iter(data.val_dataloader())), 0)["image"]
    latent = method.backbone(image)
    method.latent_norm.train()  # standardised over this batch, as in training
    sparse, soft = method.feature_transform(method.latent_norm(latent))
    positive, negative = method.projection_head(sparse), method.projection_head(soft)
    spread = positive.std(0)
    return [
        f"{latent.std(0).mean():.2f}",
        f"{latent.amax(1).mean():.1f}",
        f"{(sparse > 0).sum(1).float().mean():.1f}",
        f"{soft.amax(1).mean():.2f}",
        f"{(sparse - soft).norm(dim=1).mean():.3f}",
        f"{(positive - negative).norm(dim=1).mean():.1e}",
        f"{spread[0]:.3f}, {spread[1]:.3f}",
        f"{(positive.abs() > 0.45).float().mean():.2f}",
    ]


def main() -> None:
    """Prints the table."""
    table = Table(*COLUMNS, box=None)
    for argument in sys.argv[1:]:
        parts = Path(argument).parts
        table.add_row("/".join(parts[-3:]), *diagnose(Path(argument)))
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
