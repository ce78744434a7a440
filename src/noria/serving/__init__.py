"""Serving: answers near the hardware's limit, each written down before it is sent.

In:  Bundles, and requests over HTTP (Open Inference Protocol v2, plain JSON)
Out: predictions, and the prediction log that monitoring reads

Nothing here imports training: a worker that serves an ONNX bundle loads neither pandas, scikit-learn nor MLflow.
"""
