"""Predictions of a model that runs elsewhere: a table of them, judged as the predictions of an endpoint are.

In:   a table with the time of each prediction, its answer, any inputs, and the outcomes that are known so far
Out:  a `PredictionsReading`: data quality and drift of inputs and answers, performance by window, and an estimate before outcomes come
"""
