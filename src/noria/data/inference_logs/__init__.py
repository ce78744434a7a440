"""Inference logs of other servers as rows: one row for each prediction, with its time, its inputs and its answer.

In:   lines of a log file, as bytes or text
Out:  `LogRows`: rows by column name, and the records that are no predictions, with the reason. Nothing in a line can raise

The columns are `at`, `id` and `model` (where the log has them), the inputs by their names, and `prediction` for an answer of one number;
otherwise the answer's columns by their names, or `prediction_0`, `prediction_1`, ….
"""

from noria.data.inference_logs.formats import FORMATS, UnreadableLog, detected, read_inference_log
from noria.data.inference_logs.rows import LogRows, as_table

__all__ = ["FORMATS", "LogRows", "UnreadableLog", "as_table", "detected", "read_inference_log"]
