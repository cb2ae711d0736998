"""An experiment as stages, each once, and what they will cost."""
