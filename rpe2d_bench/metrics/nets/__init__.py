"""Feature nets and classifiers: images to features."""
