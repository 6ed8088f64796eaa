"""Facts, section 9: users, roles and rights."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import AsyncIterator

import pytest

from etcdorm.testing import EtcdBinary, EtcdServer
from etcdorm.v2 import Client, EtcdInsufficientPermissions
from tests.support.wire import Raw, Reply

ROOT = ("root", "pw-of-root")
APP = ("app", "pw-of-app")
ANYBODY = {"role": "guest", "revoke": {"kv": {"read": ["/*"], "write": ["/*"]}}}


class Guarded(Raw):
    """An etcd of its own, with a user ``root``, whose pages about users and roles are asked."""

    async def as_user(self, user: tuple[str, str], method: str, target: str, body: str | None = None) -> Reply:
        basic = b64encode(":".join(user).encode()).decode()
        return await self.ask(method, target, body, head=f"Authorization: Basic {basic}")

    async def auth(self, method: str, page: str, body: object = None) -> Reply:
        basic = b64encode(":".join(ROOT).encode()).decode()
        text = None if body is None else json.dumps(body)
        return await self.ask(
            method, f"/v2/auth{page}", text, type="application/json", head=f"Authorization: Basic {basic}"
        )

    async def user(self, user: tuple[str, str], *roles: str) -> int:
        name, password = user
        body = {"user": name, "password": password, "roles": list(roles)}
        return (await self.auth("PUT", f"/users/{name}", body)).status

    async def role(self, name: str, *patterns: str) -> None:
        permissions = {"kv": {"read": list(patterns), "write": list(patterns)}}
        assert (await self.auth("PUT", f"/roles/{name}", {"role": name, "permissions": permissions})).status == 201

    async def enable(self) -> int:
        return (await self.auth("PUT", "/enable")).status


@pytest.fixture
async def guarded(etcd_binary: EtcdBinary) -> AsyncIterator[Guarded]:
    async with EtcdServer(binary=etcd_binary) as server:
        yield Guarded(server.url)


async def test_auth_needs_a_user_root_first_and_leaves_anybody_all_rights(guarded: Guarded) -> None:
    assert await guarded.enable() == 409
    assert await guarded.user(ROOT) == 201
    assert await guarded.enable() == 200
    async with Client(guarded.url) as anonymous:
        await anonymous.write("/key", "a")
        # Until the role of those without a name loses them.
        assert (await guarded.auth("PUT", "/roles/guest", ANYBODY)).status == 200
        with pytest.raises(EtcdInsufficientPermissions) as caught:
            await anonymous.write("/key", "b")
        assert (caught.value.code, caught.value.index) == (110, 0)
        with pytest.raises(EtcdInsufficientPermissions):
            await anonymous.read("/key")
        # Members, machines and statistics stay public.
        assert await anonymous.members()
        assert await anonymous.machines()
        assert await anonymous.stats()


async def test_a_user_is_made_with_201_or_with_roles_200_and_changed_by_grants_alone(guarded: Guarded) -> None:
    await guarded.user(ROOT)
    await guarded.role("app", "/app/*")
    assert await guarded.user(APP) == 201
    assert await guarded.user(("other", "pw"), "app") == 200
    grant = {"user": "app", "grant": ["app"]}
    assert (await guarded.auth("PUT", "/users/app", grant)).status == 200
    assert (await guarded.auth("PUT", "/users/app", grant)).status == 409


async def test_wrong_passwords_unknown_users_and_missing_rights_are_all_the_same_110(guarded: Guarded) -> None:
    await guarded.user(ROOT)
    await guarded.role("app", "/app/*")
    await guarded.user(APP, "app")
    await guarded.enable()
    for user, key in (((APP[0], "wrong"), "/app/key"), (("nobody", "pw"), "/app/key"), (APP, "/other")):
        reply = await guarded.as_user(user, "PUT", f"/v2/keys{key}", "value=a")
        assert reply.says == (401, 110)
        assert reply.json["index"] == 0
    # Even where those without a name may read.
    assert (await guarded.as_user(("nobody", "pw"), "GET", "/v2/keys/")).says == (401, 110)
    assert (await guarded.get("/")).says == (200, "get")


async def test_a_pattern_covers_what_is_below_its_directory_and_not_the_directory(guarded: Guarded) -> None:
    await guarded.user(ROOT)
    await guarded.role("app", "/app/*")
    await guarded.user(APP, "app")
    await guarded.enable()
    assert (await guarded.as_user(APP, "PUT", "/v2/keys/app/key", "value=a")).status == 201
    for method, target in (
        ("GET", "/v2/keys/app"),
        ("GET", "/v2/keys/app?recursive=true"),
        ("GET", "/v2/keys/app?recursive=true&wait=true"),
        ("POST", "/v2/keys/app"),
    ):
        form = "value=a" if method == "POST" else None
        assert (await guarded.as_user(APP, method, target, form)).says == (401, 110)
    assert (await guarded.as_user(APP, "GET", "/v2/keys/app/")).says == (200, "get")


async def test_a_pattern_without_a_slash_also_covers_names_that_begin_alike(guarded: Guarded) -> None:
    await guarded.user(ROOT)
    await guarded.role("app", "/app*")
    await guarded.user(APP, "app")
    await guarded.enable()
    assert (await guarded.as_user(APP, "PUT", "/v2/keys/apple", "value=a")).status == 201
    assert (await guarded.as_user(APP, "GET", "/v2/keys/app?recursive=true")).status == 404


async def test_a_changed_right_counts_as_a_change_of_the_store(guarded: Guarded) -> None:
    before = (await guarded.get("/")).index
    await guarded.user(ROOT)
    assert (await guarded.get("/")).index > before
