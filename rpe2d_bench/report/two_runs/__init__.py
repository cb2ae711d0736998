"""Two runs side by side: what was changed between them, and which numbers moved."""
