"""The drill: a game day on private servers that counts what was lost, by its own books.

Producers submit through the API, an independent receiver notes each arrival in its own file, faults
are injected with work in flight, and the checker compares the books. Nothing here trusts what
Lifeboat says of itself.
"""
