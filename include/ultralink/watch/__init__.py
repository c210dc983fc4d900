"""Watching nights: what is out of the ordinary, what to say about it, and whether it was said already."""
