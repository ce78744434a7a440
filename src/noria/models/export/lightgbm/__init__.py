"""LightGBM boosters as ONNX."""
