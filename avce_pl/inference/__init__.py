"""A trained model without its training: networks, ONNX files, export, and import of released weights."""
