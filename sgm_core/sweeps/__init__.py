"""A search over settings: many trials, scored on validation donors alone; test donors are held back."""
