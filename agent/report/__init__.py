"""A run as one page to look through: agent/report/page.html with its style and script, and the data they show."""
