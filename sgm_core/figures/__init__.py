"""Tables to plotly figures; nothing is computed and nothing drawn on a page here."""
