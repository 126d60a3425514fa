"""CCC, PCC, RMSE and SAGR of valence and arousal over a whole split, in one pass and constant memory."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torchmetrics import Metric

from avce_pl.errors import AvceError

_COLUMNS = ("valence predictions", "arousal predictions", "valence labels", "arousal labels")
# A statistics vector: rows | equal signs (2) | finite entries of the four columns | means of the six columns
# (predictions, labels, errors; valence before arousal) | sums of their `_products`.
_MEANS, _PRODUCTS, _SIZE = slice(7, 13), slice(13, 21), 21


class ConstantPredictionWarning(UserWarning):
    """Predictions or labels do not vary, so their PCC and CCC were set to 0."""


def _products(deviations: Tensor) -> Tensor:
    """Squares of the six columns, and predictions times labels; ``(N, 6)`` to ``(N, 8)``."""
    return torch.cat((deviations.square(), deviations[:, :2] * deviations[:, 2:4]), 1)


def _merge(parts: Tensor) -> Tensor:
    """Statistics of a union of sets from those of the sets, ``(P, 21)`` to ``(21,)`` (Chan, Golub, LeVeque 1983)."""
    merged = parts.sum(0)
    rows, means = parts[:, :1], parts[:, _MEANS]
    # Relative to the first set: nothing is lost when the means are large and close to each other.
    shifts = means - means[0]
    shift = (rows * shifts).sum(0) / merged[0].clamp_min(1)
    merged[_MEANS] = means[0] + shift
    merged[_PRODUCTS] += (rows * _products(shifts - shift)).sum(0)
    return merged


class ValenceArousalMetrics(Metric):
    """Computes CCC, PCC, RMSE and SAGR of valence, of arousal and their mean, pooled over all samples seen.

    With population moments over the whole split (section 3, supplement): ``RMSE = √E(x − x̂)²``,
    ``SAGR = E 1[sign x = sign x̂]`` with ``sign 0 = 0``, ``PCC = cov(x, x̂) / (σ σ̂)`` and
    ``CCC = 2 cov(x, x̂) / (σ² + σ̂² + (μ − μ̂)²)``.

    Where predictions or labels are constant, PCC and CCC are 0 (ours), with one ``ConstantPredictionWarning`` per
    metric object. The state stays float64 whatever the module is cast to and merges exactly over processes, so
    neither the batch size nor the number of processes changes the result.

    Example:
        >>> metrics = ValenceArousalMetrics()
        >>> metrics.update(torch.tensor([[0.1, 0.2], [0.5, -0.2]]), torch.tensor([[0.1, 0.1], [0.5, -0.1]]))
        >>> metrics.update(torch.tensor([[-0.4, 0.6]]), torch.tensor([[-0.4, 0.3]]))
        >>> {name: round(value.item(), 3) for name, value in metrics.compute().items() if "ccc" in name}
        {'ccc_valence': 1.0, 'ccc_arousal': 0.744, 'ccc_mean': 0.872}
    """

    maximised: ClassVar = tuple(
        f"{name}_{axis}" for name in ("ccc", "pcc", "sagr") for axis in ("valence", "arousal", "mean")
    )
    full_state_update = False
    statistics: Tensor
    pending: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("statistics", torch.zeros(_SIZE, dtype=torch.float64), dist_reduce_fx=_merge)
        # Batches not yet in the statistics. A few at a time: the sums cost far more per call than per row.
        self.add_state("pending", [], dist_reduce_fx=None)
        self._warned = False

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add a batch.

        Args:
            prediction: Shape ``(N, 2)``, any real dtype; column 0 is valence, column 1 arousal.
            target: The labels, likewise.

        Raises:
            ValueError: If the two are not of one shape ``(N, 2)``.
        """
        if prediction.shape != target.shape or prediction.ndim != 2 or prediction.shape[1] != 2:
            raise ValueError(
                f"{type(self).__name__} expects prediction and target of one shape (N, 2), valence before arousal, "
                f"but got {tuple(prediction.shape)} and {tuple(target.shape)}."
            )
        # Detached, since `forward` of torchmetrics turns gradients on.
        self.pending.append(torch.cat((prediction, target), 1).detach().to(self.statistics.device))
        if len(self.pending) == 32:
            self._fold()

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Merge the states of all processes; as in ``torchmetrics.Metric``."""
        self._fold()
        super().sync(*args, **kwargs)

    def compute(self) -> dict[str, Tensor]:
        """Return the metrics of everything seen since the last reset, as float64 scalars.

        Returns:
            Keys ``ccc_valence``, ``ccc_arousal``, ``ccc_mean`` and likewise for ``pcc``, ``rmse`` and ``sagr``.

        Raises:
            AvceError: If nothing was seen, or if predictions or labels were NaN or infinite.
        """
        self._fold()
        metrics = {}
        for name, (valence, arousal) in self._compute_pairs().items():
            metrics[f"{name}_valence"] = valence
            metrics[f"{name}_arousal"] = arousal
            metrics[f"{name}_mean"] = (valence + arousal) / 2
        return metrics

    def _fold(self) -> None:
        """Move the pending batches into the statistics."""
        if any(len(batch) for batch in self.pending):
            self._absorb(torch.cat(self.pending).double())
        self.pending = []

    def _absorb(self, pair: Tensor) -> None:
        """Add ``(N, 4)`` float64 predictions and labels to the statistics."""
        prediction, target = pair[:, :2], pair[:, 2:]
        columns = torch.cat((pair, prediction - target), 1)
        means = columns.mean(0)
        counts = torch.cat((self._same_sign(prediction, target), pair.isfinite()), 1).sum(0)
        rows = means.new_full((1,), len(pair))
        part = torch.cat((rows, counts, means, _products(columns - means).sum(0)))
        self.statistics = _merge(torch.stack((self.statistics, part)))

    def _same_sign(self, prediction: Tensor, target: Tensor) -> Tensor:
        return prediction.sign() == target.sign()

    def _compute_pairs(self) -> dict[str, Tensor]:
        """Each metric of valence and arousal, ``(2,)``."""
        rows = self.statistics[0]
        self._check(int(rows), [int(count) for count in self.statistics[3:7]])
        means = self.statistics[_MEANS]
        moments = self.statistics[_PRODUCTS] / rows
        variances, covariance = moments[:6], moments[6:]
        # A standard deviation of a few roundings of the mean does not count as variation.
        varies = variances[:4] > (1e-13 * means[:4]).square()
        self._warn_of_constants(varies)
        defined = varies[:2] & varies[2:]
        deviations = variances[:4].sqrt()
        spread = variances[:2] + variances[2:4] + means[4:].square()
        return {
            "ccc": torch.where(defined, 2 * covariance / spread, 0.0),
            "pcc": torch.where(defined, covariance / (deviations[:2] * deviations[2:]), 0.0),
            "rmse": (variances[4:] + means[4:].square()).sqrt(),
            "sagr": self.statistics[1:3] / rows,
        }

    def _check(self, rows: int, finite: Sequence[int]) -> None:
        name = type(self).__name__
        if rows == 0:
            raise AvceError(f"{name} has seen no samples, so there is nothing to compute; is the split empty?")
        broken = [f"{rows - count} {column}" for count, column in zip(finite, _COLUMNS, strict=True) if count < rows]
        if broken:
            raise AvceError(
                f"{name} cannot compute CCC, PCC, RMSE and SAGR: of {rows} rows, {' and '.join(broken)} "
                "are NaN or infinite. The training has diverged or the labels are damaged."
            )

    def _warn_of_constants(self, varies: Tensor) -> None:
        constant = [column for column, moves in zip(_COLUMNS, varies.tolist(), strict=True) if not moves]
        if constant and not self._warned:
            self._warned = True
            warnings.warn(
                f"The {' and '.join(constant)} are constant, so their PCC and CCC are set to 0.",
                ConstantPredictionWarning,
                stacklevel=2,
            )

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "") -> Self:
        # Follow the module to its device but not to its dtype. MPS has no float64: there the state stays on the CPU.
        device = fn(torch.empty(0, device=self.device)).device
        if device.type == "mps":
            device = torch.device("cpu")
        super()._apply(lambda tensor: tensor.to(device), exclude_state)
        return self
