"""RabbitMQ: connections, topology, messages and the management API.

Owns every name and argument the broker sees. Publishing with confirms is ``mirror.publisher``,
consuming is ``rehydrator.source``: they need the channel itself.
"""
