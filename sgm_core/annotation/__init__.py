"""Models that name a new patient's cells, with calibrated confidence and 'unknown'."""
