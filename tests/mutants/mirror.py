"""Mutants of the way into RabbitMQ: confirms, the window, the lease, the queue itself."""

from tests.mutants.mutant import Mutant

MIRROR = "tests/integration/mirror"
PUBLISHER = "tests/integration/amqp/test_publisher.py"
WIRE = "tests/unit/mirror/test_publisher_wire.py"

MUTANTS = (
    Mutant(
        name="unconfirmed-counts-as-confirmed",
        rule="confirm",
        file="mirror/mirror.py",
        old="[each is PublishOutcome.CONFIRMED for each in outcomes]",
        new="[True for each in outcomes]",
        tests=(
            f"{MIRROR}/test_mirroring.py::test_a_lost_confirm_is_unknown_and_published_again_until_one_comes",
        ),
    ),
    Mutant(
        name="refused-counts-as-confirmed",
        rule="confirm",
        file="mirror/mirror.py",
        old="[each is PublishOutcome.CONFIRMED for each in outcomes]",
        new="[each is not PublishOutcome.UNKNOWN for each in outcomes]",
        tests=(f"{MIRROR}/test_mirroring.py::test_what_rabbitmq_refuses_is_published_again",),
    ),
    Mutant(
        name="confirmed-before-the-answer",
        rule="confirm",
        file="mirror/publisher/wire.py",
        old="    PublishOutcome.UNKNOWN,\n",
        new="    PublishOutcome.CONFIRMED,\n",
        tests=(
            f"{WIRE}::test_every_kind_of_answer",
            f"{PUBLISHER}::test_a_lost_connection_leaves_the_unconfirmed_unknown",
        ),
    ),
    Mutant(
        name="the-plain-path-takes-silence-for-a-confirm",
        rule="confirm",
        file="app/amqp/publishing.py",
        old="    return PublishOutcome.UNKNOWN\n",
        new="    return PublishOutcome.CONFIRMED\n",
        tests=(f"{PUBLISHER}::test_a_lost_connection_leaves_the_unconfirmed_unknown[plain]",),
    ),
    Mutant(
        name="a-nack-counts-as-an-ack",
        rule="confirm",
        file="mirror/publisher/wire.py",
        old="_CONFIRMED if isinstance(frame, Basic.Ack) else _REFUSED",
        new="_CONFIRMED",
        tests=(f"{WIRE}::test_every_kind_of_answer",),
    ),
    Mutant(
        name="a-returned-message-counts-as-confirmed",
        rule="confirm",
        file="mirror/publisher/wire.py",
        old="self._settle(tag, tag, _RETURNED)",
        new="self._settle(tag, tag, _CONFIRMED)",
        tests=(f"{PUBLISHER}::test_what_no_queue_takes_is_returned[batched]",),
    ),
    Mutant(
        name="the-plain-path-ignores-returns",
        rule="confirm",
        file="mirror/publisher/plain.py",
        old="returns_raise=True",
        new="returns_raise=False",
        tests=(f"{PUBLISHER}::test_what_no_queue_takes_is_returned[plain]",),
    ),
    Mutant(
        name="published-without-mandatory",
        rule="confirm",
        file="mirror/publisher/frames.py",
        old='_MANDATORY: Final = b"\\x01"',
        new='_MANDATORY: Final = b"\\x00"',
        tests=(f"{PUBLISHER}::test_what_no_queue_takes_is_returned[batched]",),
    ),
    Mutant(
        name="one-message-id-for-all",
        rule="confirm",
        file="mirror/publisher/wire.py",
        old='{tag:016x}"',
        new='{1:016x}"',
        tests=(
            f"{PUBLISHER}::test_what_no_queue_takes_is_returned[batched]",
            f"{PUBLISHER}::test_publishing_the_same_again_takes_a_fresh_message_id[batched]",
        ),
    ),
    Mutant(
        name="the-plain-path-names-messages-by-their-task",
        rule="confirm",
        file="app/amqp/publishing.py",
        old="message_id=new_token(),",
        new="message_id=publication.correlation_id,",
        tests=(
            f"{PUBLISHER}::test_what_no_queue_takes_is_returned[plain]",
            f"{PUBLISHER}::test_publishing_the_same_again_takes_a_fresh_message_id[plain]",
        ),
    ),
    Mutant(
        name="the-watermark-passes-a-gap",
        rule="3",
        file="mirror/window.py",
        old="            if not held.confirmed:\n                break\n",
        new="            if not held.confirmed:\n                continue\n",
        tests=(
            "tests/unit/mirror/test_window.py::test_nothing_is_trimmed_past_an_entry_in_flight",
        ),
    ),
    Mutant(
        name="what-was-not-confirmed-is-not-published-again",
        rule="confirm",
        file="mirror/window.py",
        old="heappush(self._again, (held.place, held))",
        new="pass",
        tests=(
            f"{MIRROR}/test_mirroring.py::test_a_lost_confirm_is_unknown_and_published_again_until_one_comes",
        ),
    ),
    Mutant(
        name="an-old-cursor-in-a-new-journal",
        rule="1",
        file="mirror/term.py",
        old="            raise JournalLost\n",
        new="            pass\n",
        tests=(
            f"{MIRROR}/test_generations.py::test_a_journal_that_was_lost_alone_is_read_from_its_start",
        ),
    ),
    Mutant(
        name="a-new-history-is-trimmed-by-old-confirms",
        rule="1",
        file="mirror/mirror.py",
        old="            await self._journal.trim(term.token, prefix)\n",
        new="            try:\n"
        "                await self._journal.trim(term.token, prefix)\n"
        "            except StaleGeneration:\n"
        "                self._session.forget()\n"
        "                await self._journal.trim(await self._session.token(), prefix)\n",
        tests=(
            f"{MIRROR}/test_generations.py::test_a_confirm_of_an_older_history_counts_for_nothing_in_the_new_one",
            f"{MIRROR}/test_generations.py::test_a_confirm_that_comes_before_the_wipe_is_noticed_trims_nothing",
        ),
    ),
    Mutant(
        name="a-mirror-without-its-lease-goes-on",
        rule="lease",
        file="mirror/lease.py",
        old="                raise LeaseLost\n",
        new="                continue\n",
        tests=(f"{MIRROR}/test_lease.py::test_whoever_lost_the_lease_waits_for_it_again",),
    ),
    Mutant(
        name="an-unreadable-entry-leaves-before-its-record",
        rule="quarantine",
        file="mirror/mirror.py",
        old="                await self._ledger.put_quarantine(record)\n                break\n",
        new="                break\n",
        tests=(
            f"{MIRROR}/test_quarantine.py::test_it_goes_to_the_quarantine_and_the_others_are_mirrored",
            f"{MIRROR}/test_quarantine.py::test_it_stays_in_the_journal_until_the_ledger_has_it",
        ),
    ),
    Mutant(
        name="a-blocked-broker-counts-as-failed",
        rule="unknown",
        file="app/amqp/link.py",
        old="                await self._until_unblocked(channel, connection)\n",
        new='                raise Unavailable("rabbitmq", "it has an alarm")\n',
        tests=(f"{PUBLISHER}::test_nothing_is_written_while_the_broker_blocks",),
    ),
    Mutant(
        name="refused-once-refused-for-ever",
        rule="unknown",
        file="app/amqp/link.py",
        old="            self._is_refused.set()\n",
        new="            pass\n",
        tests=(f"{PUBLISHER}::test_what_was_refused_is_taken_once_a_policy_gives_the_queue_room",),
    ),
    Mutant(
        name="written-into-an-alarm",
        rule="unknown",
        file="app/amqp/link.py",
        old="elif is_blocked(underlay(connection)):",
        new="elif False:",
        tests=(f"{PUBLISHER}::test_nothing_is_written_while_the_broker_blocks",),
    ),
    Mutant(
        name="delivery-limit-minus-one",
        rule="copies stay",
        file="app/amqp/topology.py",
        old='"x-delivery-limit": 1_000_000,',
        new='"x-delivery-limit": -1,',
        tests=("tests/integration/amqp/test_source.py::test_handing_back_gives_everything_back",),
    ),
    Mutant(
        name="a-full-queue-drops-its-oldest-copies",
        rule="copies stay",
        file="app/amqp/topology.py",
        old='"x-overflow": "reject-publish",',
        new='"x-overflow": "drop-head",',
        tests=("tests/unit/app/amqp/test_topology.py::test_arguments_of_a_mirror_queue",),
    ),
    Mutant(
        name="a-damaged-body-is-a-copy",
        rule="10",
        file="app/amqp/message.py",
        old="    if found != digest:\n",
        new="    if False:\n",
        tests=("tests/unit/app/amqp/test_message.py::test_unreadable_messages",),
    ),
)
