"""Which arms of a comparison can be kept as a model."""

KEEPABLE = ("hvg-logistic", "pca-logistic")
