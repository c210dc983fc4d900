"""Dialogues: the row program that writes one about a passage, its judge, and its rows."""
