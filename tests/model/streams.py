"""Redis's streams, as far as the scripts use them. Modelled."""


class Stream:
    """Entries by (ms, number); ``owners`` is the pending list: id -> [consumer, since ms]."""

    def __init__(self):
        self.entries = {}
        self.last = (0, 0)
        self.added = 0
        self.has_group = False
        self.delivered = (0, 0)
        self.owners = {}

    def add(self, now_ms, fields):
        self.last = max((now_ms, 0), (self.last[0], self.last[1] + 1))
        self.entries[self.last] = fields
        self.added += 1
        return text_of(self.last)


def id_of(text):
    milliseconds, _, number = text.partition("-")
    return int(milliseconds), int(number)


def text_of(entry_id):
    return f"{entry_id[0]}-{entry_id[1]}"
