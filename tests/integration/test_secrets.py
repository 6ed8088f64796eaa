"""A model with secrets goes through all that can go well or wrong, and nothing that is told of it holds one of them."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Awaitable
from datetime import date
from typing import Annotated

import pytest
from pydantic import BaseModel, Field, Secret, SecretBytes, SecretStr, ValidationError

from etcdorm import (
    AlreadyExistsError,
    ConflictError,
    DecodeError,
    EncodeError,
    EtcdModel,
    HookError,
    Invalid,
    KeyName,
    Merge,
    Sensitive,
    Session,
    after_save,
)
from etcdorm.v2 import Client
from tests.support.raw import soon, texts

# By names, as a traceback shows the lines of the code.
TOKEN, PASSWORD, PIN, MORE = "hunter2", "s3cr3t", 4711471147, "swordfish"
SHOWN_NOWHERE = [TOKEN, PASSWORD, str(PIN), MORE, "sesame", "c2VzYW1l", "1999-12-31"]


class Login(BaseModel):
    user: str = "root"
    password: SecretStr = SecretStr("s3cr3t")
    pin: Annotated[int, Sensitive(), KeyName("the-pin")] = 4711471147


def quarrel(base: str, mine: str, theirs: str) -> str:
    raise ValueError(f"{mine} and {theirs} don't go together")


class Safe(EtcdModel, extra="allow"):
    """Abstract: the same fields in both layouts."""

    __pydantic_extra__: dict[str, SecretStr] = Field(init=False)

    name: str
    port: int = 8080
    token: Annotated[str, Sensitive()] = "hunter2"
    words: Annotated[dict[str, str], Sensitive()] = {"a": "hunter2"}
    rule: Annotated[str, Sensitive(), Merge(quarrel)] = "hunter2"
    raw: SecretBytes = SecretBytes(b"sesame")
    born: Secret[date] = Secret(date(1999, 12, 31))
    login: Login = Login()
    spare: list[SecretStr] = [SecretStr("s3cr3t")]

    @after_save
    def complain(self) -> None:
        if self.port == 13:
            raise ValueError(f"{self} has an unlucky port")


class Chest(Safe, path="/safes/{name}"):
    pass


class Letter(Safe, path="/safes/{name}", layout="document"):
    pass


STORED = {
    "port": "8080",
    "token": "hunter2",
    "words/a": "hunter2",
    "rule": "hunter2",
    "raw": "c2VzYW1l",
    "born": "1999-12-31",
    "login/user": "root",
    "login/password": "s3cr3t",
    "login/the-pin": "4711471147",
    "spare": '["s3cr3t"]',
    "more": "swordfish",
}


class Told:
    """Everything that a reader of logs and tracebacks would see."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog
        self._texts: list[str] = []

    def add(self, *things: object) -> None:
        for thing in things:
            self._texts += [str(thing), repr(thing)]
            if isinstance(thing, BaseException):
                self._texts += traceback.format_exception(thing)
            if isinstance(thing, ConflictError):
                self.add(thing.base, thing.mine, thing.theirs)
            if isinstance(thing, DecodeError):
                self.add(*thing.failures)

    async def failing(self, error: type[Exception], call: Awaitable[object]) -> str:
        """What the call's error says."""
        with pytest.raises(error) as caught:
            await call
        self.add(caught.value)
        return str(caught.value)

    def check(self) -> None:
        """Raise AssertionError for a secret in it."""
        formatter = logging.Formatter("%(message)s")
        told = "\n".join([*self._texts, *map(formatter.format, self._caplog.records)])
        assert [secret for secret in SHOWN_NOWHERE if secret in told] == []


@pytest.mark.parametrize("kind", [Chest, Letter], ids=["directory", "document"])
async def test_nothing_that_is_told_holds_a_secret(
    session: Session, other: Session, client: Client, kind: type[Safe], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told = Told(caplog)

    with pytest.raises(ValidationError) as refused:
        kind.model_validate({"name": "a", "token": [TOKEN], "login": {"pin": PASSWORD}, "raw": PIN})
    told.add(refused.value)

    mine = await session.save(kind.model_validate({"name": "a", "more": MORE}))
    assert mine.etcd is not None
    told.add(mine, mine.etcd, mine.etcd.record, mine.etcd.record.detail, await client.read("/safes", recursive=True))
    if kind is Chest:
        assert await texts(client, "/safes/a") == STORED
    else:
        document = json.loads((await client.read("/safes/a")).value or "")
        assert document["login"] == {"user": "root", "password": PASSWORD, "the-pin": PIN}
        assert (document["more"], document["spare"], document["raw"]) == (MORE, [PASSWORD], "c2VzYW1l")

    theirs = await other.load(kind, "a")
    assert theirs == mine
    told.add(theirs, await other.list(kind), await session.save_all([mine]))

    theirs.token = theirs.rule = f"{TOKEN}, theirs"
    theirs.words["b"] = TOKEN
    await other.save(theirs)
    mine.token = mine.rule = f"{TOKEN}, mine"
    await told.failing(ConflictError, session.save(mine))
    await told.failing(ConflictError, session.delete(mine))
    mine.token = TOKEN
    assert "the Merge rule of" in await told.failing(ConflictError, session.save(mine, on_conflict="merge"))
    await told.failing(AlreadyExistsError, session.save(kind(name="a", token=TOKEN)))
    told.add(await session.save_all([kind(name="a", token=TOKEN)]))

    mine = await session.load(kind, "a")
    mine.login.pin = TOKEN  # type: ignore[assignment]  # what it is about
    await told.failing(EncodeError, session.save(mine))
    mine.login.pin = PIN
    mine.port = 13
    await told.failing(HookError, session.save(mine))

    await spoil(client, kind)
    await told.failing(DecodeError, session.load(kind, "a"))
    await told.failing(DecodeError, session.reload(mine))
    await told.failing(DecodeError, session.list(kind))
    told.add(await session.list(kind, on_invalid="skip"), (await session.list(kind, on_invalid="collect")).invalid)
    async with other.watch(kind) as changes:
        change = await soon(changes)
        assert isinstance(change, Invalid)
        told.add(change, change.error)
        mine.port, mine.token = 14, f"{TOKEN}, again"
        await session.save(mine, on_conflict="overwrite")
        told.add(await soon(changes))

    told.check()
    assert any(record.name == "etcdorm.session" for record in caplog.records)


async def spoil(client: Client, kind: type[Safe]) -> None:
    """Put texts that don't fit where secrets are."""
    if kind is Chest:
        await client.delete("/safes/a/words", recursive=True)
        for key in ("login/the-pin", "born", "spare", "words"):
            await client.write(f"/safes/a/{key}", f"{TOKEN} {PASSWORD}")
    else:
        document = json.loads((await client.read("/safes/a")).value or "")
        document |= {"token": [TOKEN], "login": {"the-pin": PASSWORD}, "words": TOKEN, "more": [MORE]}
        await client.write("/safes/a", json.dumps(document))
