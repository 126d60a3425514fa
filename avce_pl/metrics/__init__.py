"""Metrics of a whole split in one pass, for torchmetrics: of valence and arousal, and of expressions."""

from avce_pl.metrics.expression import ExpressionMetrics
from avce_pl.metrics.official import OfficialMetrics
from avce_pl.metrics.valence_arousal import ValenceArousalMetrics

__all__ = ["ExpressionMetrics", "OfficialMetrics", "ValenceArousalMetrics"]
