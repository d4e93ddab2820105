"""Names of variables that no setting has: a misspelt one changes nothing, so it is told. Pure."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches


def sentence_about(given: Iterable[str], known: Collection[str], prefix: str) -> str | None:
    """What to say of the given names that are not known, each with the nearest; None: nothing.

    ``prefix`` is theirs, and says nothing of what was meant.
    """
    unknown = sorted(set(given) - set(known))
    if not unknown:
        return None
    told = ", nor ".join(_with_nearest(name, known, prefix) for name in unknown)
    have = "they have" if len(unknown) > 1 else "it has"
    return f"No setting is called {told}: {have} no effect."


def _with_nearest(name: str, known: Collection[str], prefix: str) -> str:
    bare = [each.removeprefix(prefix) for each in known]
    nearest = get_close_matches(name.removeprefix(prefix), bare, n=1)
    return f"{name} (did you mean {prefix}{nearest[0]}?)" if nearest else name
