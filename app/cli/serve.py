"""``lifeboat serve``."""

from app.api.server import serve as serve_api
from app.cli.options import Adopt, load_settings, run


def serve(adopt_ledger: Adopt = False) -> None:
    """Run the HTTP API."""
    run("api", serve_api(load_settings(adopt_ledger=adopt_ledger)))
