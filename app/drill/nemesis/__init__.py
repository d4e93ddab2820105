"""The nemesis: faults of every kind, a few at once, at moments that the seed alone decides."""
