"""Answers in words, watched without outcomes: of an application, what it leaves unanswered, what it costs, and what judges say.

In:   windows of the prediction log, and a sample of its answers
Out:  shares, spending and verdicts of judges, with bounds that hold at every look; and the scores of both answers in a shadow
"""
