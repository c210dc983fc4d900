"""English rows into other languages: what must survive is masked, and what comes back is checked."""
