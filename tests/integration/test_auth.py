"""Users, roles and passwords on a real etcd; a test that locks everybody else out has one of its own."""

from __future__ import annotations

import asyncio
import logging
import traceback
from base64 import b64encode
from collections.abc import AsyncIterator

import pytest

from etcdorm import EtcdModel, RefusedError, UsageError, connect
from etcdorm.testing import EtcdBinary, EtcdServer, Fate, FaultProxy, Seen
from etcdorm.testing.faults import first
from etcdorm.v2 import (
    Auth,
    Client,
    EtcdAlreadyExist,
    EtcdException,
    EtcdInsufficientPermissions,
    EtcdKeyNotFound,
    EtcdRefused,
    EtcdRole,
    EtcdUnconfirmed,
    EtcdUser,
)
from tests.support.models import Node
from tests.support.tls import Authority, tls_etcd

ROOT = "r00t:pä$$"


@pytest.fixture
async def own(etcd_binary: EtcdBinary) -> AsyncIterator[EtcdServer]:
    async with EtcdServer(binary=etcd_binary) as server:
        yield server


@pytest.fixture
async def anybody(etcd: EtcdServer) -> AsyncIterator[Client]:
    """A client of an etcd that asks nobody for a password; it has no users, and only the role root."""
    async with Client(etcd.url) as client:
        yield client
        for name in await Auth(client).users():
            await EtcdUser(client, name).delete()
        for name in await Auth(client).roles():
            if name != "root":
                await EtcdRole(client, name).delete()


@pytest.fixture
async def locked_out(own: EtcdServer) -> AsyncIterator[Client]:
    """A client without a password of the etcd that has ``root``."""
    async with Client(own.url) as client:
        yield client


@pytest.fixture
async def root(own: EtcdServer, locked_out: Client) -> AsyncIterator[Client]:
    """The user root of an etcd that asks for passwords, and lets nobody else do anything."""
    user = EtcdUser(locked_out, "root")
    user.password = ROOT
    await user.write()
    await Auth(locked_out).enable()
    async with Client(own.url, username="root", password=ROOT) as client:
        guest = EtcdRole(client, "guest")
        guest.acls = {}
        await guest.write()
        yield client


async def make(client: Client, name: str, password: str, **acls: str) -> None:
    role = EtcdRole(client, f"{name}-role")
    role.acls = {path.replace("_", "/"): rights for path, rights in acls.items()}
    await role.write()
    user = EtcdUser(client, name)
    user.password = password
    user.roles = {role.name}
    await user.write()


async def test_a_user_with_the_right_password_reads_and_writes(own: EtcdServer, root: Client) -> None:
    role = EtcdRole(root, "app")
    role.grant("/app/*", "RW")
    await role.write()
    user = EtcdUser(root, "josé")
    user.password = "with:colons and €"
    user.roles = {"app"}
    await user.write()
    async with Client(own.url, username="josé", password="with:colons and €") as client:
        await client.write("/app/key", "a")
        assert (await client.read("/app/key")).value == "a"
        with pytest.raises(EtcdInsufficientPermissions, match="etcd 110"):
            await client.write("/elsewhere", "a")


async def test_a_watch_streams_with_a_password(own: EtcdServer, root: Client) -> None:
    async with asyncio.timeout(30), root.eternal_watch("/key", index=1) as events:
        for value in "abc":
            await root.write("/key", value)
            assert (await anext(events)).value == value


async def test_nobody_else_gets_in(own: EtcdServer, root: Client, locked_out: Client) -> None:
    with pytest.raises(EtcdInsufficientPermissions):
        await locked_out.read("/")
    async with Client(own.url, username="root", password="wrong") as client:
        with pytest.raises(EtcdInsufficientPermissions):
            await client.read("/")


async def test_a_session_proves_itself_too(own: EtcdServer, root: Client) -> None:
    async with connect(own.url, username="root", password=ROOT) as session:
        await session.save(Node(name="n1"))
        assert await session.list(Node) == [Node(name="n1")]
    async with connect(own.url) as session:
        with pytest.raises(RefusedError):
            await session.save(Node(name="n2"))


class Anything(EtcdModel, path="/{name}"):
    """Whoever lists it reads the directory of the namespace itself."""

    name: str


async def test_the_right_to_all_below_a_namespace_is_enough_for_a_session_in_it(own: EtcdServer, root: Client) -> None:
    await make(root, "team", "pw", **{"/team-a/*": "RW"})
    async with connect(own.url, username="team", password="pw", namespace="/team-a") as session, asyncio.timeout(60):
        async with session.lock("job"), session.watch(Node) as changes:
            await session.save(Node(name="n1"))
            assert (await anext(changes)).path == "/nodes/n1"
        anything = await session.save(Anything(name="a"))
        with pytest.raises(EtcdInsufficientPermissions, match="/team-a at"):
            await session.list(Anything)
        role = EtcdRole(root, "team-role")
        role.grant("/team-a*", "R")
        await role.write()
        assert await session.list(Anything) == [anything]
    async with connect(own.url, username="team", password="pw", namespace="/other") as session:
        with pytest.raises(EtcdInsufficientPermissions, match="/other/nodes/n1"):
            await session.save(Node(name="n1"))


async def test_authentication_needs_root_first(anybody: Client) -> None:
    assert await Auth(anybody).get_active() is False
    with pytest.raises(EtcdRefused, match="No root user available"):
        await Auth(anybody).enable()


async def test_authentication_is_switched_on_and_off(root: Client, locked_out: Client) -> None:
    auth = Auth(root)
    assert await auth.get_active() is True
    await auth.enable()  # a second time
    await auth.disable()
    await Auth(locked_out).disable()
    assert await auth.get_active() is False
    await auth.set_active(True)
    assert await auth.get_active() is True
    await auth.set_active(False)
    await locked_out.write("/key", "a")


async def test_everything_about_users_is_for_root_alone(own: EtcdServer, root: Client, locked_out: Client) -> None:
    await make(root, "app", "pw", _app="R")
    async with Client(own.url, username="app", password="pw") as client:
        for someone in (client, locked_out):
            assert await Auth(someone).get_active() is True
            for call in (
                Auth(someone).disable,
                Auth(someone).users,
                EtcdUser(someone, "app").read,
                EtcdUser(someone, "app").delete,
                EtcdRole(someone, "app-role").read,
            ):
                with pytest.raises(EtcdInsufficientPermissions, match="the role root"):
                    await call()


async def test_a_user_is_created_read_changed_and_deleted(anybody: Client) -> None:
    for name in ("a", "b"):
        await EtcdRole(anybody, name).write()
    user = EtcdUser(anybody, "app")
    user.password = "pw"
    user.roles = ["a"]
    await user.write()
    found = EtcdUser(anybody, "app")
    await found.read()
    assert (found.name, found.roles) == ("app", {"a"})

    found.roles.add("b")
    found.roles.remove("a")
    await found.write()
    await user.read()
    assert user.roles == {"b"}
    assert await user.get_names() == await Auth(anybody).users() == ["app"]

    await user.delete()
    for gone in (user.read, user.delete):
        with pytest.raises(EtcdKeyNotFound, match="User app does not exist"):
            await gone()
    assert await Auth(anybody).users() == []


async def test_a_password_is_changed_and_the_roles_stay(own: EtcdServer, root: Client) -> None:
    await make(root, "app", "old", _app="RW")
    user = EtcdUser(root, "app")
    user.password = "new"
    await user.write()
    async with Client(own.url, username="app", password="new") as client:
        await client.write("/app", "a")
    async with Client(own.url, username="app", password="old") as client:
        with pytest.raises(EtcdInsufficientPermissions):
            await client.write("/app", "b")


async def test_a_password_can_be_set_and_not_read() -> None:
    user = EtcdUser(Client(), "app")
    user.password = "hunter2"
    assert user.password is None
    assert "hunter2" not in f"{user} {user!r} {vars(user)}"


async def test_a_password_is_kept_until_it_is_written(anybody: Client) -> None:
    user = EtcdUser(anybody, "app")
    user.password = "pw"
    user.roles = {"missing"}
    with pytest.raises(EtcdKeyNotFound, match="role missing, which does not exist"):
        await user.write()
    await EtcdRole(anybody, "missing").write()
    await user.write()
    await EtcdUser(anybody, "app").read()


async def test_a_new_user_needs_a_password(anybody: Client) -> None:
    with pytest.raises(UsageError, match=r"set user\.password"):
        await EtcdUser(anybody, "app").write()


async def test_a_user_whose_role_was_deleted_is_told_apart_from_one_that_is_not_there(anybody: Client) -> None:
    await make(anybody, "app", "pw", _app="R")
    await EtcdRole(anybody, "app-role").delete()
    user = EtcdUser(anybody, "app")
    with pytest.raises(EtcdRefused, match="has a role that was deleted") as told:
        await user.read()
    assert not isinstance(told.value, EtcdKeyNotFound)


async def test_a_role_is_created_read_changed_and_deleted(anybody: Client) -> None:
    role = EtcdRole(anybody, "app")
    role.grant("/app/*", "RW")
    role.grant("/shared", "R")
    await role.write()
    found = EtcdRole(anybody, "app")
    await found.read()
    assert found.acls == {"/app/*": "RW", "/shared": "R"}

    found.revoke("/app/*", "W")
    found.revoke("/shared", "R")
    found.grant("/more", "W")
    await found.write()
    await role.read()
    assert role.acls == {"/app/*": "R", "/more": "W"}
    role.acls = {"/app/*": "W"}
    await role.write()
    await found.read()
    assert found.acls == {"/app/*": "W"}
    assert sorted(await role.get_names()) == sorted(await Auth(anybody).roles()) == ["app", "root"]

    await role.delete()
    for gone in (role.read, role.delete):
        with pytest.raises(EtcdKeyNotFound, match="Role app does"):
            await gone()


async def test_what_was_never_looked_at_is_left_alone(anybody: Client) -> None:
    await make(anybody, "app", "pw", _app="R")
    await EtcdRole(anybody, "app-role").write()
    await EtcdUser(anybody, "app").write()
    role, user = EtcdRole(anybody, "app-role"), EtcdUser(anybody, "app")
    await role.read()
    await user.read()
    assert (role.acls, user.roles) == ({"/app": "R"}, {"app-role"})


@pytest.mark.parametrize("permission", ["", "X", "rw", "RX"])
def test_a_permission_that_does_not_exist_is_refused(permission: str) -> None:
    role = EtcdRole(Client(), "app")
    for change in (role.grant, role.revoke):
        with pytest.raises(UsageError, match="'R', 'W' or 'RW'"):
            change("/app", permission)


@pytest.mark.parametrize("name", ["", "a/b", "/"])
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="can't be the name of a"):
        EtcdUser(Client(), name)
    with pytest.raises(UsageError, match="can't be the name of a"):
        EtcdRole(Client(), name)


async def test_names_are_quoted(anybody: Client) -> None:
    for name in ("a b", "a?b#c", "ä%41"):
        user = EtcdUser(anybody, name)
        user.password = "pw"
        await user.write()
        await user.read()
        assert name in await user.get_names()
        await user.delete()


async def test_one_that_somebody_else_created_meanwhile_already_exists(etcd: EtcdServer, anybody: Client) -> None:
    meanwhile = asyncio.Event()

    def before_creating(seen: Seen) -> Fate:
        if seen.method == "PUT":
            meanwhile.set()
            return Fate.STALL
        return Fate.PASS

    async with FaultProxy(etcd.url, judge=before_creating) as proxy, Client(proxy.url) as slow:
        writing = asyncio.create_task(EtcdRole(slow, "app").write(timeout=0.5))
        await meanwhile.wait()
        with pytest.raises(EtcdUnconfirmed):
            await writing
    await EtcdRole(anybody, "app").write()
    not_there = b'{"message":"auth: Role app does not exist."}'
    reply = b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%b" % (len(not_there), not_there)
    async with (
        FaultProxy(etcd.url, answer=lambda seen: reply if seen.method == "GET" else None) as proxy,
        Client(proxy.url) as late,
    ):
        with pytest.raises(EtcdAlreadyExist, match="Role app already exists"):
            await EtcdRole(late, "app").write()


@pytest.mark.parametrize("fate", [Fate.CUT_BEFORE, Fate.CUT_AFTER])
async def test_a_change_whose_answer_is_lost_is_unconfirmed_and_not_sent_again(
    etcd: EtcdServer, anybody: Client, fate: Fate
) -> None:
    async with FaultProxy(etcd.url, judge=first("PUT", fate)) as proxy, Client(proxy.url) as client:
        user = EtcdUser(client, "app")
        user.password = "pw"
        with pytest.raises(EtcdUnconfirmed, match="may have happened"):
            await user.write()
        assert proxy.methods() == ["GET", "PUT"]
        await user.write()
        assert await Auth(client).users() == ["app"]


async def test_a_certificate_proves_its_user_and_a_password_wins_over_it(
    etcd_binary: EtcdBinary, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ca = Authority(tmp_path_factory.mktemp("ca"))
    shown = ca.issue("app@example.com", common_name="app")
    etcd = tls_etcd(etcd_binary, ca.issue("127.0.0.1"), clients=ca)
    async with etcd.server, Client(etcd.server.url) as anybody:
        await make(anybody, "root", ROOT)
        await make(anybody, "app", "pw", _app="RW")
        await Auth(anybody).enable()
        async with Client(etcd.server.url, username="root", password=ROOT) as root:
            guest = EtcdRole(root, "guest")
            guest.acls = {}
            await guest.write()
        async with Client(etcd.url, ca_cert=ca.cert, cert=shown.both) as client:
            await client.write("/app", "a")
            with pytest.raises(EtcdInsufficientPermissions):
                await client.write("/other", "a")
        async with Client(etcd.url, ca_cert=ca.cert, cert=shown.both, username="root", password=ROOT) as client:
            await client.write("/other", "a")


# -- and nobody else learns of a password ------------------------------------------------------------------------------

SECRET = "hunter2-geheim"
TRACES = [SECRET, b64encode(f"root:{SECRET}".encode()).decode()]


def shown(error: BaseException) -> str:
    """All that a tool could show of an error: its chain, with the variables of each frame."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    each: BaseException | None = error
    words = ["".join(told.format())]
    while each is not None:
        words.append(f"{each} {each!r} {vars(each)}")
        each = each.__cause__ or each.__context__
    return "\n".join(words)


BAD_HTTP = b"HTTP/1.1 two hundred\r\n\r\n"
FAILURES = {
    "cut": dict.fromkeys(("GET", "PUT"), Fate.CUT_BEFORE),
    "silent": dict.fromkeys(("GET", "PUT"), Fate.STALL),
}


@pytest.mark.parametrize("how", ["dead", "cut", "silent", "no HTTP", "refused"])
async def test_a_password_shows_in_no_error(etcd: EtcdServer, caplog: pytest.LogCaptureFixture, how: str) -> None:
    caplog.set_level(logging.DEBUG)
    fates = FAILURES.get(how, {})
    async with FaultProxy(etcd.url, judge=lambda seen: fates.get(seen.method, Fate.PASS)) as proxy:
        if how == "no HTTP":
            proxy.answer = lambda seen: BAD_HTTP
        elif how == "refused":
            proxy.answer = lambda seen: b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}"
        url = "http://127.0.0.1:1" if how == "dead" else proxy.url
        async with Client(url, username="root", password=TRACES[0], timeout=0.2) as client:
            errors: list[EtcdException] = []
            for call in (lambda: client.read("/"), lambda: client.write("/key", "a"), Auth(client).get_active):
                with pytest.raises(EtcdException) as caught:
                    await call()
                errors.append(caught.value)
            user = EtcdUser(client, "app")
            user.password = SECRET
            with pytest.raises(EtcdException) as caught:
                await user.write()
            errors.append(caught.value)
            seen = "\n".join([*(shown_without_tests(error) for error in errors), caplog.text])
            seen += f"{client!r} {vars(client)} {user!r}"
    assert [trace for trace in TRACES if trace in seen] == []


def shown_without_tests(error: BaseException) -> str:
    """As ``shown``, without the frames of this module, which know the password by right."""
    tb = error.__traceback__
    while tb is not None and tb.tb_frame.f_code.co_filename == __file__:
        tb = tb.tb_next
    return shown(error.with_traceback(tb))
