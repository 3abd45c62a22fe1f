"""Runs as datasets with labels, in the forms that other people's tools read."""
