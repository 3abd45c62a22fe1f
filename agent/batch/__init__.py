"""Many scenes at once: items in, a folder with a manifest out, whatever happens on the way."""
