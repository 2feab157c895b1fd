"""Self-guided masking for single-cell foundation models in acute myeloid leukaemia."""

__version__ = "0.1.0"
