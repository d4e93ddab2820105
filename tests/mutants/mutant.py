"""A mutant: one thing that makes the system right, taken out of one file."""

from dataclasses import dataclass
from pathlib import Path


class DoesNotApply(Exception):
    """The sentence says what to mend."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """``old`` stands exactly once in ``file`` and becomes ``new``; one of ``tests`` must fail then.

    ``rule`` is a rule of ``docs/explanation/rules.md`` by its number, or the promise in a word.
    ``tests`` are node ids; those of a parametrised test without brackets are all its cases.
    """

    name: str
    rule: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def plant(self, root: Path) -> None:
        """Write the file with ``new`` in it."""
        path = root / self.file
        path.write_text(self.planted_in(path.read_text() if path.exists() else ""))

    def planted_in(self, text: str) -> str:
        """The text of the file with ``new`` in it."""
        found = text.count(self.old)
        if self.old == self.new or found != 1:
            raise DoesNotApply(
                f"The mutant {self.name} does not apply: its text is {found} times in {self.file},"
                " not once, or it changes nothing. Write its `old` anew from the file as it is now."
            )
        return text.replace(self.old, self.new)
