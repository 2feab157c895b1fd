"""Names of resources that are always there; importing them costs nothing."""

DEMO_GENE_SETS = "go-demo-subset"
"""The gene sets of the demo, a subset of GO biological process."""
