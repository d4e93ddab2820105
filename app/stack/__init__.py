"""The stack: private Redis, RabbitMQ and MongoDB servers for `up`, `drill` and the tests."""
