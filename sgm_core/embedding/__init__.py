"""Embeddings of cells by imported weights; a noun, since `sgm_core.embed` has the verb."""
