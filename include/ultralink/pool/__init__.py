"""The English pool: chat, math and code, read from their sources, cleaned, and pruned to what is translated."""
