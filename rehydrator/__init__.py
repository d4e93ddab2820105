"""The rehydrator: what RabbitMQ holds and Redis lost is brought back; what is finished may go."""
