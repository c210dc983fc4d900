"""The teacher by the Batch API: unanswered asks become waves of files, answered at a lower price within hours."""
