"""Articles and passages from Wikipedia: two sources (API, dump), one interface."""
