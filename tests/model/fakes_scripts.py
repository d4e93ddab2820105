"""What each file of ``app/broker/lua`` does, as plain Python on ``FakeRedis``; the same ARGV.

All of it is modelled. It follows the scripts' headers and is held to them by ``test_fake_redis``.
Where ``redis.without`` names a guard, the script does what it would do if nobody had thought of it.
"""

from tests.model.streams import Stream, id_of, text_of


class Keys:
    """KEYS by what they are, wherever a script has them; what only counts is passed over."""

    def __init__(self, names):
        by_end = {name.partition("}:")[2]: name for name in names}
        self.generation = by_end["generation"]
        self.journal = by_end.get("journal")
        self.delayed = by_end.get("delayed")
        self.mirror = by_end.get("mirror")
        self.lanes = [name for end, name in by_end.items() if end.startswith("ready:")]
        self.tasks = [name for name in names if name.partition("}:")[2].startswith("task:")]

    def lane(self, number):
        return self.lanes[int(number) - 1]


def b(value):
    return value.encode() if isinstance(value, str) else value


def raw_entry(entry_id, fields):
    flat = [part for name, value in fields.items() for part in (b(name), b(value))]
    return [b(text_of(entry_id)), flat]


def chunks(arguments, first, size):
    return [arguments[at : at + size] for at in range(first, len(arguments), size)]


# --- the generation


def attach(redis, keys, argv):
    known = redis.fields(keys.generation)
    if known.get("token") is None or (
        known.get("run_id") != redis.run_id and "token" not in redis.without
    ):
        redis.put(
            keys.generation,
            token=argv[0],
            run_id=redis.run_id,
            since=redis.clock_ms(),
            pending=1,
            previous=known.get("token", ""),
            before=known.get("since", ""),
        )
        redis.unset(keys.generation, "paused")
    if argv[1]:
        redis.put(keys.generation, ledger=argv[1])
    known = redis.fields(keys.generation)
    return [b(known.get(n, "")) for n in ("token", "since", "ledger", "paused", "pending")]


def load_paused(redis, keys, argv):
    redis.fields(keys.generation).setdefault("paused", argv[1])
    return b(redis.fields(keys.generation)["paused"])


def complete(redis, keys, argv):
    redis.unset(keys.generation, "pending")
    return 1


def pend(redis, keys, argv):
    redis.put(keys.generation, pending=1, since=redis.clock_ms())
    return 1


def keep_since(redis, keys, argv):
    before = redis.fields(keys.generation).get("before")
    if before:
        redis.put(keys.generation, since=before)
        redis.unset(keys.generation, "before")
    return b(redis.fields(keys.generation)["since"])


def sight(redis, keys, argv):
    known = redis.fields(keys.generation)
    marks = []
    for key in (keys.journal, *keys.lanes):
        stream = redis.data.streams.get(key)
        marks.append([b(text_of(stream.last)), stream.added] if stream else [])
    watermark = redis.fields(keys.mirror).get("watermark", "")
    return [b(known.get("previous", "")), int(known.get("pending") == "1"), b(watermark), *marks]


# --- places


def placed(redis, hashed, task_id, lanes, delayed):
    if "place" in redis.without:
        return True
    if hashed.get("place") == "delayed":
        return task_id in redis.zset(delayed)
    entry = hashed.get("entry")
    return bool(entry) and redis.entry(lanes[int(hashed["lane"]) - 1], entry) is not None


def clear(redis, key, hashed, task_id, lanes, delayed):
    if hashed.get("place") == "ready" and hashed.get("entry"):
        redis.drop_entry(lanes[int(hashed["lane"]) - 1], hashed["entry"])
    redis.zset(delayed).pop(task_id, None)
    redis.delete(key)


def add_ready(redis, lane, task_id, run, fresh, envelope, token):
    return redis.xadd(lane, id=task_id, run=run, gen=token, fresh=str(fresh), envelope=envelope)


def add_journal(redis, journal, key, task_id, run, kind, envelope, token):
    jid = redis.xadd(journal, id=task_id, run=run, kind=kind, envelope=envelope)
    redis.put(key, jid=jid, gen=token)
    return jid


def is_first(fields, token):
    first = fields.get("fresh") == "1" and fields.get("gen") == token
    return int(first and fields.get("attempt") == "0")


# --- producers


def enqueue(redis, keys, argv):
    journal, delayed, lanes = keys.journal, keys.delayed, keys.lanes
    answers = []
    for key, given in zip(keys.tasks, chunks(argv, 5, 8), strict=True):
        task_id, digest, run, fresh, lane, due, accepted, envelope = given
        known = redis.hash(key)
        if known is not None:
            answers.append(_known(known, digest))
            continue
        jid = add_journal(redis, journal, key, task_id, run, "task", envelope, argv[0])
        state = argv[1]
        if int(due) > redis.clock_ms():
            state = argv[2]
            redis.zset(delayed)[task_id] = int(due)
            redis.put(key, place="delayed", due=due)
            redis.fields(key)["envelope"] = envelope
        else:
            entry = add_ready(redis, lanes[int(lane) - 1], task_id, run, fresh, envelope, argv[0])
            redis.put(key, place="ready", entry=entry)
        redis.put(
            key,
            state=state,
            run=run,
            attempt=0,
            lane=lane,
            mirrored=0,
            digest=digest,
            fresh=fresh,
            accepted=accepted,
        )
        answers.append([b"created", b(state), b(jid), b"0", b(run)])
    return answers


def _known(known, digest):
    word = b"duplicate" if known.get("digest") == digest else b"conflict"
    names = (("state", ""), ("jid", ""), ("mirrored", "0"), ("run", ""))
    return [word, *(b(known.get(name, other)) for name, other in names)]


def redrive(redis, keys, argv):
    journal, delayed, lanes = keys.journal, keys.delayed, keys.lanes
    answers = []
    for key, given in zip(keys.tasks, chunks(argv, 5, 7), strict=True):
        task_id, digest, run, lane, _due, accepted, envelope = given
        known = dict(redis.fields(key))
        if known.get("run"):
            ahead = int(known["run"]) - int(run)
            here = known.get("place") == "" or placed(redis, known, task_id, lanes, delayed)
            if known.get("digest") != digest or ahead > 0 or (ahead == 0 and here):
                answers.append(_known(known, digest))
                continue
        clear(redis, key, known, task_id, lanes, delayed)
        jid = add_journal(redis, journal, key, task_id, run, "task", envelope, argv[0])
        entry = add_ready(redis, lanes[int(lane) - 1], task_id, run, 0, envelope, argv[0])
        same = known.get("run") == run
        redis.put(
            key,
            state=argv[1],
            place="ready",
            entry=entry,
            run=run,
            attempt=known.get("attempt", 0) if same else 0,
            lane=lane,
            mirrored=0,
            digest=digest,
            fresh=0,
            accepted=accepted,
        )
        if same and "cancel" in known:
            redis.put(key, cancel=1)
        answers.append([b"created", b(argv[1]), b(jid), b"0", b(run)])
    return answers


def look(redis, keys, argv):
    answers = []
    for key in keys.tasks:
        fields = redis.fields(key)
        envelope = fields.get("envelope")
        if fields.get("place") == "ready" and fields.get("entry"):
            envelope = redis.envelope_of(keys.lane(fields["lane"]), fields["entry"])
        flat = [part for name, value in fields.items() for part in (b(name), b(value))]
        answers.append([flat, b(envelope) if envelope else b""])
    return answers


def marks(redis, keys, argv):
    answers = []
    for key, (run, digest) in zip(keys.tasks, chunks(argv, 1, 2), strict=True):
        fields = redis.fields(key)
        if "run" not in fields or digest not in ("", fields.get("digest")):
            answers.append(-1)
            continue
        is_marked = fields.get("mirrored") == "1" and int(fields["run"]) >= int(run)
        if "mark" in redis.without and not is_marked:
            # The watermark, or an entry that is gone, taken for evidence.
            is_marked = _passed(redis, keys, fields.get("jid"))
        answers.append(int(is_marked))
    return answers


def _passed(redis, keys, jid):
    mirror = keys.generation.removesuffix("generation") + "mirror"
    watermark = redis.fields(mirror).get("watermark")
    return bool(jid and watermark) and id_of(jid) <= id_of(watermark)


def mark_cancel(redis, keys, argv):
    (key,) = keys.tasks
    fields = redis.fields(key)
    if "run" not in fields:
        return []
    place = fields.get("place", "")
    if place != "" and "cancel" not in redis.without:
        redis.put(key, cancel=1)
    return [b(fields["run"]), b(fields.get("digest", "")), b(place)]


def mirror_state(redis, keys, argv):
    return [1, 1, 0, len(redis.stream(keys.journal).entries)]


# --- workers


def fetch(redis, keys, argv):
    consumer, room, start, order = argv[1], int(argv[2]), argv[3], argv[4]
    paused = redis.fields(keys.generation).get("paused")
    found = []
    for digit in order:
        lane = keys.lane(digit)
        if room > 0 and paused == "0":
            entries = _read_group(redis, lane, consumer, room, own=start != ">")
            room -= len(entries)
            if entries:
                found.append([int(digit), entries])
    last = [b(text_of(redis.stream(key).last)) for key in keys.lanes]
    flag = b"open" if paused == "0" else (b"paused" if paused else b"unloaded")
    return [flag, found, last]


def _read_group(redis, lane, consumer, count, *, own):
    stream = redis.data.streams.get(lane)
    if stream is None or not stream.has_group:
        stream = redis.data.streams.setdefault(lane, stream or Stream())
        stream.has_group = True
    if own:
        ids = [each for each, owner in sorted(stream.owners.items()) if owner[0] == consumer]
        return [raw_entry(each, stream.entries[each]) for each in ids[:count]]
    ids = [each for each in sorted(stream.entries) if each > stream.delivered][:count]
    for each in ids:
        stream.delivered = each
        stream.owners[each] = [consumer, redis.clock_ms()]
    return [raw_entry(each, stream.entries[each]) for each in ids]


def start(redis, keys, argv):
    paused = redis.fields(keys.generation).get("paused")
    answers = []
    for key, given in zip(keys.tasks, chunks(argv, 5, 11), strict=True):
        verdict = _begin(redis, keys, argv, key, given) if paused == "0" else ("paused", 0, 0)
        answers.append([b(verdict[0]), verdict[1], int(verdict[2]), redis.clock_ms()])
    return answers


def _begin(redis, keys, argv, key, given):  # noqa: PLR0911 - one for each verdict
    task_id, lane_no, entry, run, nonce, asked, known, due, most, expires, digest = given
    lane, fields, now = keys.lane(lane_no), redis.fields(key), redis.clock_ms()
    if not redis.owns(lane, entry, argv[1]):
        return "gone", 0, 0
    here = (fields.get("place"), fields.get("entry"), fields.get("run")) == ("ready", entry, run)
    if fields.get("run") and not here:
        redis.drop_entry(lane, entry)
        return "gone", 0, 0
    suspect = not fields.get("run") or fields.get("suspect") == "1"
    attempt = max(int(fields.get("attempt", 0)), int(known))
    if "cancel" in fields:
        return "cancel", attempt, suspect
    if suspect and asked != "1" and "ask" not in redis.without:
        return "ask", attempt, suspect
    if fields.get("nonce") == nonce and fields.get("state") == argv[3]:
        return "run", attempt, suspect
    if 0 < int(expires) <= now:
        return "expired", attempt, suspect
    if attempt >= int(most):
        return "exhausted", attempt, suspect
    if not fields.get("run"):
        redis.put(
            key,
            run=run,
            lane=lane_no,
            entry=entry,
            place="ready",
            digest=digest,
            suspect=1,
            mirrored=0,
            fresh=0,
        )
    if int(due) > now and int(known) >= int(fields.get("attempt", 0)):
        _delay(redis, keys, key, task_id, lane, entry, argv[4], due)
        redis.put(key, attempt=attempt)
        redis.unset(key, "entry")
        return "later", attempt, suspect
    redis.unset(key, "unknown_since", "progress")
    redis.put(key, state=argv[3], attempt=attempt + 1, nonce=nonce, worker=argv[1], started=now)
    return "run", attempt + 1, suspect


def _delay(redis, keys, key, task_id, lane, entry, state, due):
    envelope = redis.envelope_of(lane, entry)
    redis.drop_entry(lane, entry)
    redis.zset(keys.delayed)[task_id] = int(due)
    redis.put(key, state=state, place="delayed", due=due)
    redis.fields(key)["envelope"] = envelope


def settle(redis, keys, argv):
    settled = 0
    for key, given in zip(keys.tasks, chunks(argv, 4, 5), strict=True):
        task_id, lane, entry, run, state = given
        if entry:
            redis.drop_entry(keys.lane(lane), entry)
        fields = dict(redis.fields(key))
        if not fields.get("run") or int(fields["run"]) > int(run) or fields.get("place") == "":
            continue
        if fields.get("place") == "ready" and fields.get("entry"):
            redis.drop_entry(keys.lane(fields["lane"]), fields["entry"])
        elif fields.get("place") == "delayed":
            redis.zset(keys.delayed).pop(task_id, None)
        redis.put(key, state=state, place="", run=run)
        redis.unset(
            key,
            *("envelope", "entry", "due", "suspect", "cancel", "nonce", "worker"),
            *("unknown_since", "progress"),
        )
        ttl = argv[1] if fields.get("fresh") == "1" else argv[2]
        if fields.get("mirrored") == "1" or "jid" not in fields:
            redis.expire(key, ttl)
        else:
            redis.put(key, ttl=ttl)
        settled += 1
    return settled


def retry(redis, keys, argv):
    answers = []
    for key, given in zip(keys.tasks, chunks(argv, 4, 6), strict=True):
        task_id, lane_no, entry, run, attempt, due = given
        lane, fields = keys.lane(lane_no), redis.fields(key)
        known = tuple(fields.get(name) for name in ("entry", "run", "attempt", "state"))
        if not redis.owns(lane, entry, argv[1]) or known != (entry, run, attempt, argv[2]):
            answers.append(b"gone")
        elif "cancel" in fields:
            answers.append(b"cancel")
        else:
            _delay(redis, keys, key, task_id, lane, entry, argv[3], due)
            redis.unset(key, "entry", "nonce", "worker", "progress")
            answers.append(b"ok")
    return answers


def give_back(redis, keys, argv):
    answers = []
    for key, given in zip(keys.tasks, chunks(argv, 3, 5), strict=True):
        task_id, lane_no, entry, run, started = given
        lane, fields = keys.lane(lane_no), dict(redis.fields(key))
        if not redis.owns(lane, entry, argv[1]):
            answers.append(0)
            continue
        envelope = redis.envelope_of(lane, entry)
        redis.drop_entry(lane, entry)
        here = (fields.get("entry"), fields.get("run")) == (entry, run)
        if not envelope or (fields.get("run") and not here):
            answers.append(0)
            continue
        fresh = is_first(fields, argv[0]) if started == "0" else 0
        new = add_ready(redis, lane, task_id, run, fresh, envelope, argv[0])
        answers.append(1)
        if not fields.get("run"):
            continue
        redis.put(key, state=argv[2], entry=new, fresh=fresh)
        redis.unset(key, "nonce", "worker", "progress")
        if started == "1":
            redis.put(key, attempt=int(fields["attempt"]) - 1)
    return answers


def drop(redis, keys, argv):
    answers = []
    for key, (lane_no, entry) in zip(keys.tasks, chunks(argv, 2, 2), strict=True):
        lane = keys.lane(lane_no)
        is_ours = redis.owns(lane, entry, argv[1])
        if is_ours:
            redis.drop_entry(lane, entry)
            if redis.fields(key).get("entry") == entry:
                redis.delete(key)
        answers.append(int(is_ours))
    return answers


def renew(redis, keys, argv):
    answers = []
    for key, (lane_no, entry) in zip(keys.tasks, chunks(argv, 3, 2), strict=True):
        lane, fields = keys.lane(lane_no), redis.fields(key)
        if not redis.owns(lane, entry, argv[1]):
            answers.append(b"over" if fields.get("state") == argv[2] else b"lost")
            continue
        redis.stream(lane).owners[id_of(entry)] = [argv[1], redis.clock_ms()]
        answers.append(b"cancel" if "cancel" in fields else b"held")
    return answers


def reclaim(redis, keys, argv):
    stream, now, lease = redis.stream(keys.lanes[0]), redis.clock_ms(), int(argv[2])
    taken = []
    for entry_id, owner in sorted(stream.owners.items()):
        if now - owner[1] >= lease and len(taken) < int(argv[3]):
            stream.owners[entry_id] = [argv[1], now]
            taken.append(raw_entry(entry_id, stream.entries[entry_id]))
    return [b"0-0", taken]


def due(redis, keys, argv):
    now = redis.clock_ms()
    waiting = sorted((at, task_id) for task_id, at in redis.zset(keys.delayed).items())
    ids = [b(task_id) for at, task_id in waiting if at <= now][: int(argv[1])]
    later = [at for at, _ in waiting if at > now]
    return [ids, later[0] - now if later else -1]


def promote(redis, keys, argv):
    answers = []
    for key, task_id in zip(keys.tasks, argv[2:], strict=True):
        waiting = redis.zset(keys.delayed)
        if task_id not in waiting or waiting[task_id] > redis.clock_ms():
            answers.append(0)
            continue
        del waiting[task_id]
        fields = redis.fields(key)
        if fields.get("place") != "delayed" or "envelope" not in fields:
            answers.append(-1)
            continue
        lane = keys.lane(fields["lane"])
        first = is_first(fields, argv[0])
        entry = add_ready(redis, lane, task_id, fields["run"], first, fields["envelope"], argv[0])
        redis.put(key, state=argv[1], place="ready", entry=entry)
        redis.unset(key, "envelope", "due")
        answers.append(1)
    return answers


# --- the mirror


def journal_end(redis, keys, argv):
    return b(text_of(redis.stream(keys.journal).last))


def trim(redis, keys, argv):
    marked = 0
    for key, jid in zip(keys.tasks, argv[4:], strict=True):
        fields = redis.fields(key)
        if fields.get("jid") == jid or ("jid" in redis.without and "jid" in fields):
            redis.put(key, mirrored=1)
            redis.unset(key, "refreshing")
            if fields.get("place") == "" and "ttl" in fields:
                redis.expire(key, fields["ttl"])
            marked += 1
    stream = redis.stream(keys.journal)
    gone = {each: fields for each, fields in stream.entries.items() if each < id_of(argv[2])}
    for each in gone:
        del stream.entries[each]
    redis.put(keys.mirror, watermark=argv[1], generation=argv[0])
    for told in redis.observers["trim"]:
        told(list(gone.values()))
    redis.published.append((argv[3], argv[1]))
    return marked


# --- the rehydrator


def inspect(redis, keys, argv):
    answers = []
    for key, task_id in zip(keys.tasks, argv[1:], strict=True):
        fields = redis.fields(key)
        standing = b"absent"
        if fields.get("run"):
            if fields.get("place") == "":
                standing = b"settled"
            else:
                there = placed(redis, fields, task_id, keys.lanes, keys.delayed)
                standing = b"present" if there else b"displaced"
        answers.append([standing, b(fields.get("run", "0")), b(fields.get("digest", ""))])
    return answers


def restore(redis, keys, argv):
    return [
        b(_restore(redis, keys, argv, key, given))
        for key, given in zip(keys.tasks, chunks(argv, 4, 4), strict=True)
    ]


def _restore(redis, keys, argv, key, given):
    task_id, plan, digest, envelope = given
    run, lane, ended, due_ms = plan.split()
    lanes, delayed, fields = keys.lanes, keys.delayed, dict(redis.fields(key))
    attempt = int(ended)
    if fields.get("run"):
        if fields.get("digest") != digest:
            return "conflict"
        if int(fields["run"]) > int(run):
            return "settled" if fields.get("place") == "" else "present"
        if int(fields["run"]) == int(run):
            if fields.get("place") == "":
                return "settled"
            if placed(redis, fields, task_id, lanes, delayed):
                return "present"
            attempt = max(attempt, int(fields.get("attempt", 0)))
        clear(redis, key, fields, task_id, lanes, delayed)
    if int(due_ms) > redis.clock_ms():
        redis.zset(delayed)[task_id] = int(due_ms)
        redis.put(key, state=argv[3] if attempt else argv[2], place="delayed", due=due_ms)
        redis.fields(key)["envelope"] = envelope
    else:
        entry = add_ready(redis, lanes[int(lane) - 1], task_id, run, 0, envelope, argv[0])
        redis.put(key, state=argv[1], place="ready", entry=entry)
    redis.put(key, run=run, lane=lane, mirrored=1, digest=digest, suspect=1)
    if attempt:
        redis.put(key, attempt=attempt)
    if "cancel" in fields and fields["run"] == run:
        redis.put(key, cancel=1)
    return "restored"


def refresh(redis, keys, argv):
    return [
        b(_refresh(redis, keys, argv[0], key, given))
        for key, given in zip(keys.tasks, chunks(argv, 1, 4), strict=True)
    ]


def _refresh(redis, keys, token, key, given):
    task_id, run, copy_generation, copy_jid = given
    fields = redis.fields(key)
    jid, place = fields.get("jid"), fields.get("place")
    if fields.get("run") != run or not place:
        return ""
    here = fields.get("gen") == token
    own = copy_generation == token and jid == copy_jid and "own" not in redis.without
    unconfirmed = fields.get("mirrored") != "1" or "refreshing" in fields
    lost = unconfirmed and jid is not None and redis.entry(keys.journal, jid) is None
    if jid and here and not own and not lost:
        return jid
    envelope = fields.get("envelope")
    if place == "ready":
        envelope = redis.envelope_of(keys.lane(fields["lane"]), fields.get("entry"))
    if not envelope:
        return ""
    jid = add_journal(redis, keys.journal, key, task_id, run, "refresh", envelope, token)
    redis.put(key, refreshing=1)
    if not here:
        redis.put(key, fresh=0)
    return jid


def refreshed(redis, keys, argv):
    answers = []
    for key, (run, jid) in zip(keys.tasks, chunks(argv, 1, 2), strict=True):
        fields = redis.fields(key)
        named = (fields.get("run"), fields.get("jid")) == (run, jid)
        confirmed = fields.get("mirrored") == "1" and "refreshing" not in fields
        answers.append(int((named and confirmed) or "refreshed" in redis.without))
    return answers


# --- the caretaker


def walk(redis, keys, argv):
    ids = [b(task_id) for task_id in redis.zset(keys.delayed)]
    for lane in keys.lanes:
        ids += [b(fields["id"]) for _, fields in sorted(redis.stream(lane).entries.items())]
    return [ids, 4, b""]


def rejournal(redis, keys, argv):
    return [
        [b(part) for part in _rejournal(redis, keys, argv[0], key, task_id)]
        for key, task_id in zip(keys.tasks, argv[3:], strict=True)
    ]


def _rejournal(redis, keys, token, key, task_id):
    fields = redis.fields(key)
    run, place, jid = fields.get("run"), fields.get("place"), fields.get("jid")
    here = fields.get("gen") == token
    if not run or not place:
        return "gone", "", run or "0"
    waiting = redis.entry(keys.journal, jid)
    if waiting and (waiting["id"], waiting["run"]) == (task_id, run):
        redis.put(key, mirrored=0)
        return "waiting", jid, run
    envelope = fields.get("envelope")
    if place == "ready":
        envelope = redis.envelope_of(keys.lane(fields["lane"]), fields.get("entry"))
    if not envelope:
        return "gone", "", run
    new = add_journal(redis, keys.journal, key, task_id, run, "task", envelope, token)
    redis.put(key, mirrored=0)
    redis.unset(key, "refreshing")
    if not here:
        redis.put(key, fresh=0)
    return "journaled", new, run


def retired(redis, keys, argv):
    return 1


SCRIPTS = {
    each.__name__: each
    for each in (
        *(attach, load_paused, complete, pend, keep_since, sight, enqueue, redrive, look, marks),
        *(mark_cancel, mirror_state, fetch, start, settle, retry, give_back, drop, renew),
        *(reclaim, due, promote, journal_end, trim, inspect, restore, refresh, refreshed),
        *(walk, rejournal, retired),
    )
}
