"""The campaign against a store: kills, damage, several drivers, full and read-only disks. See __main__.py."""
