"""Cells on disk: files of counts to datasets, their genes, labels, quality and donor folds."""
