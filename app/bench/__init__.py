"""Benches: how fast Lifeboat is beside the bare minimum, both measured in the same minutes."""
