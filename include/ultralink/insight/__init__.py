"""What a person wants to know of the nights, read from statistics, footers and ledgers, never from whole tables."""
