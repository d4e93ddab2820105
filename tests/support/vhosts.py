"""Vhosts of the tests: removed with all that is in them."""

from http import HTTPStatus

import aiohttp

from tests.support.eventually import eventually


async def remove_vhost(server, name):
    """Have it gone; a busy node may take longer than one answer is waited for."""

    async def is_gone():
        try:
            await server.delete_vhost(name)
        except aiohttp.ClientResponseError as error:
            return error.status == HTTPStatus.NOT_FOUND
        except (aiohttp.ClientError, TimeoutError):
            return False
        return True

    await eventually(is_gone, within_s=60, every_s=0.2)
