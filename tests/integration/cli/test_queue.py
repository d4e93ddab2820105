"""``lifeboat queue`` and ``stats``: what queues hold."""

from app.stack.ownership import take


async def test_no_queue_yet_is_a_sentence(lifeboat):
    ran = await lifeboat("queue", "ls")
    assert (ran.code, ran.err) == (0, "")
    assert "There is no queue yet" in ran.out


async def test_queues_are_listed_with_their_figures(lifeboat, api):
    await lifeboat("task", "add", "report", "--queue", "mail")
    shown = await lifeboat("queue", "ls")
    assert shown.code == 0
    assert "mail" in shown.out
    assert "oldest" in shown.out
    listed = await lifeboat("queue", "ls", "--json")
    (item,) = listed.document["items"]
    assert (item["queue"], item["depth"]["queued"]) == ("mail", 1)
    one = await lifeboat("queue", "inspect", "mail", "--json")
    assert one.document["depth"] == item["depth"]


async def test_a_missing_queue_is_told_with_where_to_look(lifeboat):
    ran = await lifeboat("queue", "inspect", "nothing", "--json")
    assert ran.code == 1
    assert ran.document["code"] == "queue_not_found"
    assert "lifeboat queue ls" in ran.err


async def test_clear_asks_first(lifeboat):
    ran = await lifeboat("queue", "clear", "mail", typed="n\n")
    assert (ran.code, ran.out) == (1, "")
    assert "Cancel every waiting task of the queue mail?" in ran.err


async def test_a_script_that_cannot_answer_is_told_to_say_yes(lifeboat, api):
    await api.submit(taskId="t1", queue="mail")
    ran = await lifeboat("queue", "clear", "mail", "--json")
    assert (ran.code, ran.out) == (2, "")
    assert "--yes" in ran.err
    assert (await api.get("/v1/tasks/t1")).document["state"] == "queued"


async def test_a_wipe_asks_first_and_not_on_stdout(lifeboat, tmp_path):
    folder = tmp_path / "system"
    take(folder)
    kept = folder / "ledger.sqlite"
    kept.touch()
    ran = await lifeboat("down", "--wipe", "--json", "--dir", str(folder))
    assert (ran.code, ran.out) == (2, "")
    ran = await lifeboat("down", "--wipe", "--json", "--dir", str(folder), typed="n\n")
    assert (ran.code, ran.out) == (1, "")
    assert kept.exists()


async def test_coverage_is_a_table_of_the_minutes_in_which_something_was(api, lifeboat):
    await api.submit(queue="mail")
    shown = await lifeboat("queue", "coverage", "mail", "--minutes", "5")
    assert shown.code == 0
    head, row, total, *sentences = shown.out.splitlines()
    assert head.split() == ["minute", "accepted", "mirrored", "retired", "waiting", "missing"]
    assert row.split()[2:] == ["1", "-", "-", "-", "-"]
    assert total.split() == ["all", "1", "-", "-", "-", "-"]
    assert sentences[0].startswith("Nothing is mirrored")
    assert (await lifeboat("queue", "coverage", "mail", "--json")).document["accepted"] == 1
