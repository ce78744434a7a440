"""From single requests to batches: the queue with its deadlines, the model with its cache, and the look-up of features.

In:  requests that a protocol has read
Out: answers, each after its record is in the prediction log
"""
