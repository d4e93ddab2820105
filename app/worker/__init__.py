"""The worker: runs what is ready, records the outcome in the ledger first, settles Redis last.

One duty a module: fetcher, admission, executor, settler, heartbeat, reclaimer, promoter; ``worker``
composes them, ``process`` is the entry point. ``verdict`` and ``outcome`` hold the decisions, pure.
"""
