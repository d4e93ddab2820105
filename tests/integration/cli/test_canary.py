"""``lifeboat canary``: what it says where a leg is missing, and what it leaves behind."""

from app.canary import CANARY


async def test_nobody_mirrors_and_nobody_works(api, lifeboat):
    ran = await lifeboat("canary", "--queue", "mail", "--timeout", "4s")
    assert ran.code == 1
    head, *legs, verdict = ran.out.splitlines()
    assert head.split() == ["leg", "ms", "which", "means"]
    assert [each.split()[:2] for each in legs] == [
        ["accepted", "ok"],
        ["mirrored", "missing"],
        ["finished", "missing"],
        ["retired", "missing"],
    ]
    assert verdict.startswith("It was not mirrored. No mirror keeps the journal of mail")
    listed = (await api.get("/v1/queues/mail/tasks")).document["items"]
    assert [(each["type"], each["state"]) for each in listed] == [(CANARY, "cancelled")]


async def test_without_an_api_it_says_so_like_any_command(lifeboat_at):
    ran = await lifeboat_at("http://127.0.0.1:9", "canary", "--timeout", "1s", "--json")
    assert ran.code == 1
    assert "Is it running" in ran.document["error"]


async def test_what_the_api_refuses_is_told_as_it_is(start, lifeboat_at):
    api = await start(queues="default,mail")
    ran = await lifeboat_at(api.url, "canary", "--queue", "other", "--timeout", "1s", "--json")
    assert (ran.code, ran.document["missing"]) == (1, "accepted")
    assert "LIFEBOAT_QUEUES" in ran.document["next"]
    assert "readyz" not in ran.document["next"]
