"""What lies on disk: stages by content, records, images, progress."""
