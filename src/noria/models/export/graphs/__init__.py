"""ONNX graphs: put between the inputs and outputs of a signature, made one of several, checked, written in the same bytes."""
