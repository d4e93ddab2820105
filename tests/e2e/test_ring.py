"""Once round the ring, and round again after Redis has lost everything."""

import asyncio

from tests.support.eventually import eventually


async def finished(board, task_ids):
    found = [(await board.get(f"/v1/tasks/{each}?queue=mail"))[1] for each in task_ids]
    return all(each.get("state") == "succeeded" for each in found)


async def test_a_task_goes_from_http_to_its_result_and_its_copy_is_let_go(board):
    (receipt,) = await board.submit(board.delivery("a-1", durability="mirrored"))
    assert receipt["durability"] == {"requested": "mirrored", "reached": "mirrored"}
    assert receipt["degraded"] is False
    status, task = await board.get("/v1/tasks/a-1?queue=mail&wait=60")
    assert (status, task["state"], task["attempt"]) == (200, "succeeded", 1)
    assert task["result"]["status"] == 200
    assert board.arrivals() == ["a-1"]
    await eventually(lambda: no_copies(board), within_s=60)


async def no_copies(board):
    return await board.copies() == 0


async def test_what_redis_lost_is_brought_back_once_and_runs(board):
    board.service("worker").process.kill9()
    board.service("rehydrator").process.kill9()
    ids = [f"w-{n}" for n in range(40)]
    late = {"delayMs": 1_500}
    await board.submit(*(board.delivery(i, **(late if i.endswith("0") else {})) for i in ids))

    await board.wipe_redis()
    code, report = await board.rehydrate()
    assert (code, report["state"], report["restored"]) == (0, "complete", 40)
    again, second = await board.rehydrate()
    assert (again, second["state"], second["restored"], second["present"]) == (0, "complete", 0, 40)

    await board.service("worker").start()
    await board.service("rehydrator").start()
    await eventually(lambda: finished(board, ids), within_s=60, every_s=0.3)
    assert sorted(board.arrivals()) == sorted(ids)
    await eventually(lambda: no_copies(board), within_s=60)


async def test_finished_tasks_do_not_come_back(board):
    board.service("rehydrator").process.kill9()
    ids = [f"f-{n}" for n in range(20)]
    await board.submit(*(board.delivery(each) for each in ids))
    await eventually(lambda: finished(board, ids), within_s=60, every_s=0.3)

    await board.wipe_redis()
    code, report = await board.rehydrate()
    assert (code, report["restored"], report["finished"]) == (0, 0, 20)
    assert sorted(board.arrivals()) == sorted(ids)


async def test_the_service_brings_the_work_back_without_anyone(board):
    board.service("worker").process.kill9()
    ids = [f"s-{n}" for n in range(20)]
    await board.submit(*(board.delivery(each) for each in ids))
    await board.wipe_redis()
    await board.service("worker").start()
    await eventually(lambda: finished(board, ids), within_s=60, every_s=0.3)
    assert sorted(board.arrivals()) == sorted(ids)


async def test_a_rehydrate_killed_half_way_is_completed_by_the_next(board):
    board.service("worker").process.kill9()
    board.service("rehydrator").process.kill9()
    ids = [f"k-{n}" for n in range(60)]
    await board.submit(*(board.delivery(each) for each in ids))
    await board.wipe_redis()

    first = board.lifeboat("rehydrate", "--json", "--rate", "4")
    await eventually(lambda: some_restored(board), within_s=60)
    first.kill()
    await asyncio.to_thread(first.wait)

    code, report = await board.rehydrate()
    assert (code, report["state"]) == (0, "complete")
    assert 0 < report["restored"] < 60
    assert report["restored"] + report["present"] == 60


async def some_restored(board):
    status, document = await board.get("/v1/queues/mail")
    return status == 200 and document["depth"]["queued"] > 0


async def test_a_worker_killed_in_mid_run_loses_nothing(board):
    slow = {**board.delivery("slow-1")}
    slow["payload"] = {**slow["payload"], "url": f"{board.receiver_url}?slow_ms=5000"}
    await board.submit(slow)
    await eventually(lambda: is_running(board, "slow-1"), within_s=60)
    board.service("worker").process.kill9()
    await board.service("worker").start()
    status, task = await board.get("/v1/tasks/slow-1?queue=mail&wait=60")
    assert (status, task["state"]) == (200, "succeeded")
    assert task["attempt"] == 2


async def is_running(board, task_id):
    return (await board.get(f"/v1/tasks/{task_id}?queue=mail"))[1].get("state") == "running"
