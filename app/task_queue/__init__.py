"""The use cases of producers and readers: submit, get, wait, and the figures of queues.

One ``TaskQueue`` (``task_queue.py``) serves the HTTP API and Python callers alike. This package
judges requests, talks to Redis through ``app.broker`` and to the ledger through ``app.ledger``; it
knows nothing of HTTP.
"""
