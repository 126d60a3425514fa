"""Predictions on people's own images and videos; nothing here needs Hydra, Lightning or W&B, and ONNX no torch."""
