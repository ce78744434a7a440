"""Serving: answers near the hardware's limit, each written down before it is sent.

In:  Bundles, and requests over HTTP and gRPC
Out: predictions, and the prediction log that monitoring reads

A request's way: `transport` (bytes) → `process.rest`, `process.grpc` (routes, guarded by `access`) → `protocol` (bodies into rows) →
`batching` (queue, feature lookup, model, answer) → `log` (each answer durable before it is sent). `process` holds the processes: a
supervisor, and workers of a frontend and a data plane each; `observe` is what they report. Nothing here imports training: a worker that
serves an ONNX bundle loads neither pandas, scikit-learn nor MLflow.
"""
