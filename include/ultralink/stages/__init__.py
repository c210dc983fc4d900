"""The stages of a night, as plain functions: parts in, parts out, nothing passed between them."""
