"""Explains some test faces of a finished run, and keeps the result in its folder."""

import logging
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avce_pl.config.settings import read_settings
from avce_pl.dataset.core.augmentation import Augmentation, normalise
from avce_pl.dataset.core.batches import BatchKey
from avce_pl.dataset.core.datamodule import FaceDataModule
from avce_pl.dataset.core.loading import FaceDataset
from avce_pl.dataset.synthetic import ProceduralDataModule
from avce_pl.errors import AvceError
from avce_pl.explain.grad_cam import grad_cam, last_feature_layer, watch
from avce_pl.explain.regions import REGIONS, areas, region_map, shares
from avce_pl.method.avce import AVCE
from avce_pl.method.base import Method
from avce_pl.report.metrics import AXES
from avce_pl.runs.explanation import Explanation
from avce_pl.runs.folder import open_run
from avce_pl.runs.predictions import Run
from avce_pl.training.build import build_datamodule, load_run
from avce_pl.utils.progress import track

log = logging.getLogger(__name__)

_BATCH = 64
_ZERO = 1e-6  # solvers give no exact zeros
_VERSION = 1  # another one where maps, latents or shares are computed otherwise: kept files are not used then


def explain_run(run: Run, rows: NDArray[np.int64], file: str, *, images: bool = False) -> Explanation:
    """Computes maps and latents of some rows of a run's data set, or opens them where that was done before.

    The maps explain valence and arousal of R(z) and, of methods that train it, of H on the sparse feature, see
    `avce_pl.explain.grad_cam.grad_cam`.

    Args:
        run: the run.
        rows: (N,) rows of the data set's index.
        file: name of the file in the run's folder ``explain`` that keeps the result.
        images: whether to keep what the network saw.

    Raises:
        AvceError: the checkpoint cannot be read, or the run's data are not there any more or have changed.
    """
    path = run.folder / "explain" / file
    digest, fingerprint = f"{run.record['digest']}/{_VERSION}", run.record["data"]["fingerprint"]
    if (kept := Explanation.load(path, digest, rows)) is not None:
        return kept
    module = load_run(run.folder).requires_grad_(False)
    data = build_datamodule(read_settings(open_run(run.folder).config))
    if data.fingerprint != fingerprint:
        raise AvceError(
            f"The data of {run.folder} have changed since it was trained (fingerprint {data.fingerprint}, then "
            f"{fingerprint}). Restore them, or train again."
        )
    found = _explain(module, data, rows, digest, run.label, images)
    try:
        path.parent.mkdir(exist_ok=True)
        found.save(path)
    except OSError as error:
        log.warning("%s cannot be written (%s): the next figure computes it again", path, error.strerror)
    return found


def _explain(
    module: Method, data: FaceDataModule, rows: NDArray[np.int64], digest: str, label: str, keep_images: bool
) -> Explanation:
    landmarks = _landmarks(data)
    values, maps, latents, supports, on_parts, of_parts, images = [], [], [], [], [], [], []
    names: list[str] = []
    with watch(last_feature_layer(module.backbone.encoder)) as features:
        for chosen, faces in _faces(data, rows, label):
            latent = module.backbone(normalise(faces))
            outputs, sparse = _outputs(module, latent)
            names = list(outputs)
            cells = [grad_cam(features[-1], output) for output in outputs.values()]
            features.clear()
            maps.append(torch.stack(cells, dim=1).numpy())
            values.append(torch.stack([*outputs.values()], dim=1).detach().numpy())
            latents.append(latent.detach().numpy())
            supports.append((sparse > _ZERO).sum(dim=1).numpy())
            if keep_images:
                images.append(faces.permute(0, 2, 3, 1).numpy())
            if landmarks is not None:
                parts = [region_map(points, data.image_size) for points in landmarks[chosen]]
                on_parts += [shares(one, part) for one, part in zip(maps[-1], parts, strict=True)]
                of_parts += [areas(part) for part in parts]
    regions = REGIONS if landmarks is not None else ()
    size = data.image_size
    return Explanation(
        digest=digest,
        rows=rows,
        outputs=np.array(names),
        values=np.concatenate(values),
        maps=np.concatenate(maps),
        latent=np.concatenate(latents),
        support=np.concatenate(supports),
        regions=np.array(regions, np.str_),
        shares=np.array(on_parts).reshape(len(rows), len(names), len(regions)),
        areas=np.array(of_parts).reshape(len(rows), len(regions)),
        images=np.concatenate(images) if images else np.empty((0, size, size, 3), np.uint8),
    )


def _outputs(module: Method, latent: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """What is explained, name -> (N,), and the sparse feature, (N, d) or (N, 0)."""
    points, sparse = {"R": module.regressor(latent)}, latent[:, :0]
    if isinstance(module, AVCE) and module.crl_formula.uses_projection_head:
        sparse, _ = module.feature_transform(latent)
        points["H"] = module.projection_head(sparse)
    return {f"{head} {axis}": point[:, k] for head, point in points.items() for k, axis in enumerate(AXES)}, sparse


def _faces(data: FaceDataModule, rows: NDArray[np.int64], label: str) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Rows and the images that the network saw at test, (N, 3, H, W) uint8, with a progress bar."""
    expressions = data.index["expression"].to_numpy(np.int8)
    faces = FaceDataset(data.images, data.faces.labels, expressions, Augmentation(data.image_size, train=False))
    parts = np.array_split(rows.copy(), -(-len(rows) // _BATCH))  # torch wants arrays that can be written
    for part in track(parts, f"Explaining faces, {label}", len(parts)):
        yield part, faces[BatchKey(0, part, np.zeros_like(part))]["image"]


def _landmarks(data: FaceDataModule) -> NDArray[np.float32] | None:
    """(rows, 68, 2) in pixels of the image that the network sees, or None.

    Other data sets' landmarks are those of whole pictures, before the face was cut out.
    """
    if data.faces.landmarks is None or not isinstance(data, ProceduralDataModule):
        return None
    return np.asarray(data.faces.landmarks) - np.float32((data.resize_size - data.image_size) // 2)
