"""The Stream Mirror: what RabbitMQ has not got yet, it gets, with a confirm."""
