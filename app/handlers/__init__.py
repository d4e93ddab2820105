"""The handlers Lifeboat brings along, and what their payloads look like.

Payload models are pure and in modules of their own: the API judges submits by them, workers run the
handlers.
"""
