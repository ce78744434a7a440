"""Serving: answers near the hardware's limit, each written down before it is sent.

In:  Bundles, and requests over HTTP and gRPC
Out: predictions, and the prediction log that monitoring reads

A request's way: `transport` (bytes) → `rest`, `grpc` (routes, guarded by `access`) → `protocol` (words into rows) → `batcher`
(lookup, model, `log`, answer). `plane` is one process's endpoints, `worker` the process, `supervisor` what watches all of them,
`observe` what they tell. Nothing here imports training: a worker that serves an ONNX bundle loads neither pandas, scikit-learn
nor MLflow.
"""
