"""The offline teacher: an OpenAI-compatible server that is NOT an LLM, for demos and tests without a key.

It fills templates with sentences of the passage that it is asked about. What it writes shows that the
pipeline works and is no training data; its model name, which every row carries, says so.
"""

MODEL = "offline-teacher"
SERVED = "offline-teacher (not an LLM)"
