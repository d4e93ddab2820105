"""Lifeboat: a task queue that survives losing Redis.

``app`` holds what all processes share (names, envelope, states, the three stores) and the
processes that face people: the HTTP API, the worker and the command line. ``mirror`` and
``rehydrator`` are the other half of the ring.
"""

__version__ = "0.1.0"
