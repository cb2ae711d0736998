"""One sampling loop."""
