"""The networks: backbone, maskers, reconstruction, heads, and weights on disk."""
