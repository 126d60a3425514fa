"""The metrics as the released evaluation computes them."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from avce_pl.metrics.valence_arousal import ValenceArousalMetrics


def _close_batches(parts: Tensor) -> Tensor:
    """Sum the processes' batches, each process's unfinished one counted as a batch; ``(P, 6)`` to ``(6,)``."""
    closed = parts.clone()
    squares, rows = parts[:, 3:5], parts[:, 5:]
    closed[:, :2] += (squares / rows.clamp_min(1)).sqrt()
    closed[:, 2:3] += rows > 0
    closed[:, 3:] = 0
    return closed.sum(0)


class OfficialMetrics(ValenceArousalMetrics):
    """Computes the four metrics with the released evaluation's departures from their definitions.

    Released code: RMSE is the mean of the RMSEs of consecutive batches, which is lower than the RMSE; PCC and CCC
    are ``N / (N − 1)`` times the pooled values, which can exceed 1; a label of exactly 0 never agrees in sign.
    For comparison with numbers obtained that way, not for reporting.

    Args:
        batch_size: Rows per batch of the averaged RMSE, whatever the size of the batches of ``update``.

    Example:
        >>> metrics = OfficialMetrics(batch_size=2)
        >>> label = torch.tensor([[0.1, 0.1], [0.5, -0.1], [-0.4, 0.3]])
        >>> metrics.update(label, label)
        >>> metrics.compute()["ccc_mean"]
        tensor(1.5000, dtype=torch.float64)
    """

    full_state_update = True  # the RMSE depends on where the batches begin, so `forward` may not merge states
    batches: Tensor

    def __init__(self, batch_size: Annotated[int, Field(gt=0)] = 64) -> None:
        super().__init__()
        self.batch_size = batch_size
        # Sums of RMSEs (2) | number of batches | sums of squares (2) and rows of the unfinished batch.
        self.add_state("batches", torch.zeros(6, dtype=torch.float64), dist_reduce_fx=_close_batches)

    def _absorb(self, pair: Tensor) -> None:
        super()._absorb(pair)
        squares = (pair[:, :2] - pair[:, 2:]).square()
        room = self.batch_size - int(self.batches[5])
        for piece in (squares[:room], *torch.split(squares[room:], self.batch_size)):
            self.batches[3:5] += piece.sum(0)
            self.batches[5] += len(piece)
            if self.batches[5] == self.batch_size:
                self.batches = _close_batches(self.batches.unsqueeze(0))

    def _same_sign(self, prediction: Tensor, target: Tensor) -> Tensor:
        return super()._same_sign(prediction, target) & (target != 0)

    def _compute_pairs(self) -> dict[str, Tensor]:
        pairs = super()._compute_pairs()
        rows = self.statistics[0]
        inflation = rows / (rows - 1).clamp_min(1)
        closed = _close_batches(self.batches.unsqueeze(0))
        return {
            "ccc": pairs["ccc"] * inflation,
            "pcc": pairs["pcc"] * inflation,
            "rmse": closed[:2] / closed[2],
            "sagr": pairs["sagr"],
        }
