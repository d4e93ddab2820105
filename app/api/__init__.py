"""The HTTP API: what stands between a producer's bytes and the use cases of ``app.task_queue``.

Owns the strict reading of bodies, the shapes of requests and answers, the problems of RFC 9457, and
the server itself. Decides nothing about tasks.
"""
