"""``python -m app.drill.make_events``: write ``events.jsonl`` anew, the same each time.

A few thousand webhook events as shops, payment and chat services send them: sizes from a hundred
bytes to some kilobytes, text in many scripts.
"""

import random
from pathlib import Path
from typing import Any, Final

import orjson

SEED: Final = 20_260_101
COUNT: Final = 3_000
PLACE: Final = Path(__file__).with_name("events.jsonl")
LINES_MAX, NOTE_SHARE = 60, 0.3
_PAGE: Final = (
    "order parcel invoice refund lamp kettle bicycle notebook violin anchor harbour "
    "Grüße Straße naïve café smörgås żółć Čeština Ελλάδα Москва "
    "שלום مرحبا नमस्ते 你好 こんにちは 한국어 "
    '🚲 🛟 👩🏽‍🚀 e\u0301 \u202eabc quote" back\\slash tab\t null-ish nil 0 -1 1e9'
)
WORDS: Final = _PAGE.split(" ")
KINDS: Final = (
    "order.created", "order.paid", "parcel.sent", "payment.refunded", "message.received",
    "user.invited", "build.finished", "invoice.due",
)  # fmt: skip


def make(random_: random.Random, number: int) -> dict[str, Any]:
    """One event."""
    kind = random_.choice(KINDS)
    event: dict[str, Any] = {
        "id": f"evt_{number:06d}",
        "kind": kind,
        "occurredAt": 1_760_000_000_000 + number * 137,
        "subject": _text(random_, random_.randint(1, 6)),
        "amount": {"value": random_.randint(-5_000, 900_000), "currency": "EUR"},
    }
    # Most events are small, a few are large: the way webhooks are.
    for line in range(int(random_.paretovariate(1.6)) - 1):
        event.setdefault("lines", []).append(
            {"sku": f"{random_.getrandbits(32):08x}", "title": _text(random_, 4), "n": line}
        )
        if line > LINES_MAX:
            break
    if random_.random() < NOTE_SHARE:
        event["note"] = _text(random_, random_.randint(5, 40))
    return event


def _text(random_: random.Random, words: int) -> str:
    return " ".join(random_.choice(WORDS) for _ in range(words))


def main() -> None:
    """Write the file."""
    random_ = random.Random(SEED)
    lines = [orjson.dumps(make(random_, number)) for number in range(COUNT)]
    PLACE.write_bytes(b"\n".join(lines) + b"\n")


if __name__ == "__main__":
    main()
