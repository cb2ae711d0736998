"""What an experiment file means: names to objects, and what cannot work, with its place in the file."""
