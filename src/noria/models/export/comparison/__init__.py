"""Comparison of an export with its original: which rows are asked, and whether both answer alike."""
