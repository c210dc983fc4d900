"""The durable teacher: ask an OpenAI-compatible endpoint, journal each answer, count and cap the cost.

``desk.py`` opens everything a row program needs; ``ask.py`` is the door that it sees.
Importing this package loads nothing heavy.
"""
