"""The images of private servers, from the settings."""

from app.settings import Settings
from app.stack.sources import Images


def images_of(settings: Settings) -> Images:
    """What private servers are made from where Docker runs."""
    return Images(settings.redis_image, settings.rabbitmq_image, settings.mongo_image)
