"""A run as one document to send: what was done, what was found, what it can't tell."""

FORMATS = {
    "html": "one file for a browser, with interactive figures; it needs no network",
    "md": "Markdown, without figures",
    "folder": "report.md, its figures as SVG and every table as CSV",
}
"""What a report can be written as."""
