"""scikit-learn estimators and pipelines as ONNX."""
