"""The ledger: what happened, once. MongoDB, or one SQLite file for a system on one machine."""
