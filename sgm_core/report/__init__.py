"""A run as one document to send: what was done, what was found, what it can't tell."""
