"""What an experiment file says: fields, lines, overrides. Imports neither torch nor ray."""
