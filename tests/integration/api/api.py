"""A client that gives what a test looks at: status, headers, document."""

import asyncio
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
from multidict import CIMultiDictProxy

ENVELOPE = "application/vnd.lifeboat.envelope+json"
TASK = {"type": "report", "payload": {"n": 1}}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def document(self) -> Any:
        return orjson.loads(self.body)

    @property
    def code(self) -> str:
        assert self.headers["Content-Type"] == "application/problem+json"
        assert self.document["status"] == self.status
        return self.document["code"]

    @property
    def pointers(self) -> list[str]:
        return [each["pointer"] for each in self.document.get("errors", ())]


@dataclass(frozen=True)
class Api:
    session: aiohttp.ClientSession
    url: str
    serving: asyncio.Task[None]

    async def call(self, method, path, *, data=None, headers=None):
        async with self.session.request(
            method, self.url + path, data=data, headers=headers
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path):
        return await self.call("GET", path)

    async def submit(self, body=None, *, headers=None, **members):
        document = (TASK if body is None else body) | members
        return await self.post(orjson.dumps(document), headers=headers)

    async def post(self, raw, *, path="/v1/tasks", content_type="application/json", headers=None):
        sent = {"Content-Type": content_type} | (headers or {})
        return await self.call("POST", path, data=raw, headers=sent)

    async def act(self, path, document=None):
        """POST to a verb's path, with a JSON body or none."""
        if document is None:
            return await self.call("POST", path)
        return await self.post(orjson.dumps(document), path=path)
