"""What is measured inside a model instead of on its samples."""
