"""Pure tensor mathematics of the methods: no state, no configuration, torch only.

Every name below is to be imported from here: ``from avce_pl.functional import ccc_loss``. Columns are valence before
arousal; half-precision inputs of the losses are computed in float32.

- Losses of labels: `ccc_loss`, `pcc_loss`, `rmse_loss`, and the measures `ccc` and `pcc`.
- Contrastive objectives of similarity scores: `avce_objective` (to be maximised), `infonce_loss`,
  `infonce_cross_loss`; `barlow_twins_loss` takes the views themselves.
- Scores: `angular_similarity`, `intensity_similarity`, `valence_sign_differs`, `official_angular_similarity`.
- Negatives: `NegativeWeights` from `keep_all`, `keep_lowest`, `keep_highest`, `draw_hard`, `importance_log_weights`.
- Views: `sparsemax`; its soft counterpart is ``torch.softmax``.
- Phase 2 of AVCE: `metric_regularisation_loss`.
- CAF: `emotion_groups`, `critic_distances`, `constrained_critic_loss` and their parts.
- Other systems of Tables 1 and 3: `shaken_loss`, `cage_loss`, `locality_loss`, `attentive_centre_loss`,
  `region_bias_loss`.
"""

from avce_pl.functional.agreement import ccc, ccc_loss, pcc, pcc_loss
from avce_pl.functional.contrastive import (
    avce_objective,
    barlow_twins_loss,
    cross_correlation,
    infonce_cross_loss,
    infonce_loss,
    scores_of_other_faces,
    views_of_next_face,
)
from avce_pl.functional.contrastive_adversarial import (
    constrained_critic_loss,
    critic_distances,
    emotion_groups,
    mutual_information,
    neighbour_confidence,
    otsu_threshold,
    rmse_loss,
)
from avce_pl.functional.metric_regularisation import hold, metric_regularisation_loss, push
from avce_pl.functional.negatives import (
    NegativeWeights,
    draw_hard,
    importance_log_weights,
    keep_all,
    keep_highest,
    keep_lowest,
    log_negative_mean_exp,
    negative_mean,
)
from avce_pl.functional.published_losses import (
    attentive_centre_loss,
    cage_loss,
    locality_loss,
    region_bias_loss,
    shaken_loss,
    step_centres,
)
from avce_pl.functional.similarity import (
    angle,
    angular_similarity,
    direction,
    intensity,
    intensity_similarity,
    official_angular_similarity,
    valence_sign_differs,
)
from avce_pl.functional.simplex import sparsemax

__all__ = [
    "NegativeWeights",
    "angle",
    "angular_similarity",
    "attentive_centre_loss",
    "avce_objective",
    "barlow_twins_loss",
    "cage_loss",
    "ccc",
    "ccc_loss",
    "constrained_critic_loss",
    "critic_distances",
    "cross_correlation",
    "direction",
    "draw_hard",
    "emotion_groups",
    "hold",
    "importance_log_weights",
    "infonce_cross_loss",
    "infonce_loss",
    "intensity",
    "intensity_similarity",
    "keep_all",
    "keep_highest",
    "keep_lowest",
    "locality_loss",
    "log_negative_mean_exp",
    "metric_regularisation_loss",
    "mutual_information",
    "negative_mean",
    "neighbour_confidence",
    "official_angular_similarity",
    "otsu_threshold",
    "pcc",
    "pcc_loss",
    "push",
    "region_bias_loss",
    "rmse_loss",
    "scores_of_other_faces",
    "shaken_loss",
    "sparsemax",
    "step_centres",
    "valence_sign_differs",
    "views_of_next_face",
]
