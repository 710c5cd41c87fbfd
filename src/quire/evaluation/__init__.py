"""How well a model predicts text, and how well plain compressors and counts of letters do beside it."""

from quire.evaluation.scoring import Score, score, score_batches, score_split

__all__ = ["Score", "score", "score_batches", "score_split"]
