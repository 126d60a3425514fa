"""No contrastive loss: the "w/o L_AVCE" row of Table 5."""

from typing import ClassVar

import torch
from torch import Tensor

from avce_pl.crl_formula.protocol import CRLFormula, CRLLoss
from avce_pl.mining.protocol import Mining
from avce_pl.similarity.protocol import Similarity


class NoCRL(CRLFormula):
    """Loss 0; the supervised loss and the regularisation of phase 2 stay."""

    uses_projection_head: ClassVar[bool] = False

    def __call__(
        self,
        anchor: Tensor,
        positive: Tensor,
        negative: Tensor,
        similarity: Similarity,
        mining: Mining,
        generator: torch.Generator | None = None,
    ) -> CRLLoss:
        """Give a zero on the anchor's device, see `CRLFormula`; the other arguments are ignored."""
        return CRLLoss(anchor.new_zeros((), dtype=torch.promote_types(anchor.dtype, torch.float32)), {})
