"""etcd v2's authentication: switching it on and off, and its users and roles as objects that are read and written."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import from_json

from etcdorm.errors import UsageError
from etcdorm.path import Path
from etcdorm.v2.caller import not_v2
from etcdorm.v2.client import Client
from etcdorm.v2.credentials import Secret, SecretBytes
from etcdorm.v2.errors import (
    EtcdAlreadyExist,
    EtcdException,
    EtcdInsufficientPermissions,
    EtcdKeyNotFound,
    EtcdRefused,
    EtcdUnavailable,
    EtcdUnconfirmed,
)
from etcdorm.v2.request import Asked, Method, Request
from etcdorm.v2.transport import Answer

_HINTS: Mapping[int, str] = {
    401: "users and roles are for users with the role root; etcd does not say whether the user, the password or the "
    "role is wrong",
}


def _request(client: Client, method: Method, page: str, body: Mapping[str, object] | None = None) -> Request:
    form = None if body is None else SecretBytes(json.dumps(body).encode())
    return Request(method, Path.parse(f"/auth{page}"), client.version_prefix, form=form, content="json")


def _understand(request: Request, answer: Answer, words: Asked) -> dict[str, Any]:
    """The object that an answer holds; none in the empty ones.

    Raises: what its status stands for; these pages have no error codes, only words.
    """
    try:
        body = from_json(answer.body or b"{}")
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise not_v2(words, answer, request)
    if answer.status in (200, 201):
        return body
    if "message" not in body or answer.status < 400:
        raise not_v2(words, answer, request)
    message = str(body["message"])
    kind: type[EtcdException] = EtcdRefused
    hint = _HINTS.get(answer.status)
    if answer.status == 401:
        kind = EtcdInsufficientPermissions
    elif answer.status == 404 and "/auth/users/" in request.target and "Role" in message:
        hint = "the user exists, and has a role that was deleted: create the role again, then take it from the user"
    elif answer.status == 404:
        kind = EtcdKeyNotFound
    elif answer.status == 409 and "already exists" in message:
        kind = EtcdAlreadyExist
    elif answer.status >= 500:
        kind = EtcdUnconfirmed if request.writes else EtcdUnavailable
    text = f"{words}: {message} [HTTP {answer.status}]" + (f"; {hint}" if hint else "")
    raise kind(text, message=message, index=answer.index)


class Auth:
    """Whether etcd asks for users and passwords: ``await Auth(client).enable()``.

    There must be a user ``root`` first. Even then everybody may read and write until the rights of the role ``guest``
    are revoked, for which etcd gives it all.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def get_active(self, *, timeout: float | None = None) -> bool:
        """Whether authentication is on; etcd tells it to anybody."""
        body = await self._client._execute(_request(self._client, "GET", "/enable"), _understand, timeout)
        return bool(body.get("enabled"))

    async def set_active(self, value: bool, *, timeout: float | None = None) -> None:
        """Switch authentication on or off; python-aio-etcd's name for ``enable`` and ``disable``."""
        await (self.enable(timeout=timeout) if value else self.disable(timeout=timeout))

    async def enable(self, *, timeout: float | None = None) -> None:
        """Switch authentication on; nothing happens where it is on already.

        Raises: EtcdRefused while there is no user ``root``; EtcdUnconfirmed.
        """
        await self._switch("PUT", True, timeout)

    async def disable(self, *, timeout: float | None = None) -> None:
        """Switch authentication off; nothing happens where it is off already. Users and roles stay.

        Raises: EtcdInsufficientPermissions; EtcdUnconfirmed.
        """
        await self._switch("DELETE", False, timeout)

    async def users(self, *, timeout: float | None = None) -> list[str]:
        """The names of all users."""
        return await EtcdUser(self._client, "root").get_names(timeout=timeout)

    async def roles(self, *, timeout: float | None = None) -> list[str]:
        """The names of all roles."""
        return await EtcdRole(self._client, "root").get_names(timeout=timeout)

    async def _switch(self, method: Method, wanted: bool, timeout: float | None) -> None:
        if await self.get_active(timeout=timeout) != wanted:
            await self._client._execute(_request(self._client, method, "/enable"), _understand, timeout)


class _Entity(ABC):
    """What users and roles have in common."""

    _kind: str

    def __init__(self, client: Client, name: str) -> None:
        if not name or "/" in name:
            raise UsageError(f"{name!r} can't be the name of a {self._kind}: it must not be empty, or have a slash")
        self._client = client
        self.name = name
        self._known = False
        """Whether all of it was read or set here; else what is not there may just not have been looked at."""

    async def get_names(self, *, timeout: float | None = None) -> list[str]:
        """The names of all that there are of this kind, whatever the name of this one."""
        page = f"{self._kind}s"
        body = await self._client._execute(_request(self._client, "GET", f"/{page}"), _understand, timeout)
        return _names(body.get(page), self._kind)

    async def read(self, *, timeout: float | None = None) -> None:
        """Take over what etcd has; what was changed here and not written is lost.

        Raises: EtcdKeyNotFound; EtcdInsufficientPermissions for all but root, also about oneself.
        """
        self._take(await self._fetch(timeout))

    async def write(self, *, timeout: float | None = None) -> None:
        """Create it, or change what differs from what etcd has.

        Several requests where several things differ, so an error may leave it changed in part; ``write`` again then.
        Units: ``timeout`` in seconds for each of them.
        Resend: never once it was sent.
        Raises: EtcdAlreadyExist when another one creates it at the same time; EtcdUnconfirmed;
            EtcdInsufficientPermissions.
        """
        try:
            there = await self._fetch(timeout)
        except EtcdKeyNotFound:
            there = None
        bodies = [self._whole()] if there is None else self._changes(there)
        for body in bodies:
            await self._client._execute(self._about("PUT", body), _understand, timeout)
        self._written()

    async def delete(self, *, timeout: float | None = None) -> None:
        """Delete it.

        Raises: EtcdKeyNotFound; EtcdUnconfirmed; EtcdInsufficientPermissions.
        """
        await self._client._execute(self._about("DELETE"), _understand, timeout)

    def _about(self, method: Method, body: Mapping[str, object] | None = None) -> Request:
        if body is not None:
            body = {self._kind: self.name, **body}
        return _request(self._client, method, f"/{self._kind}s/{self.name}", body)

    async def _fetch(self, timeout: float | None) -> Mapping[str, Any]:
        return await self._client._execute(self._about("GET"), _understand, timeout)

    @abstractmethod
    def _take(self, body: Mapping[str, Any]) -> None: ...

    @abstractmethod
    def _whole(self) -> Mapping[str, object]: ...

    @abstractmethod
    def _changes(self, there: Mapping[str, Any]) -> list[Mapping[str, object]]: ...

    @abstractmethod
    def _written(self) -> None: ...


class EtcdUser(_Entity):
    """A user: set ``roles`` and ``password``, then ``await user.write()``."""

    _kind = "user"

    def __init__(self, client: Client, name: str) -> None:
        super().__init__(client, name)
        self._roles: set[str] = set()
        self._password: Secret | None = None

    async def write(self, *, timeout: float | None = None) -> None:
        """Create it, or change what differs; the roles of one that was not read and given none here are left alone.

        Raises: as for a role; EtcdKeyNotFound for a role that does not exist; UsageError without a password for a new
            user, which etcd does not make.
        """
        if self._roles:
            # etcd takes a role that does not exist, and then can't read the user any more.
            missing = self._roles - set(await EtcdRole(self._client, self.name).get_names(timeout=timeout))
            if missing:
                raise EtcdKeyNotFound(
                    f"the user {self.name} can't have the role {min(missing)}, which does not exist: write that first; "
                    "nothing was changed"
                )
        await super().write(timeout=timeout)

    @property
    def roles(self) -> set[str]:
        """The names of the roles that the user has; to be added to, taken from, or set as a whole."""
        return self._roles

    @roles.setter
    def roles(self, roles: Iterable[str]) -> None:
        if isinstance(roles, str):
            raise UsageError("roles is a collection of names, not one name")
        self._roles = set(roles)
        self._known = True

    @property
    def password(self) -> None:
        """Always None; it can be set, for the next ``write``, which forgets it when it was written."""
        return None

    @password.setter
    def password(self, password: str) -> None:
        self._password = Secret(password)

    def __repr__(self) -> str:
        return f"<EtcdUser {self.name} roles={sorted(self._roles)}>"

    def _take(self, body: Mapping[str, Any]) -> None:
        self.roles = set(_names(body.get("roles"), "role"))

    def _whole(self) -> Mapping[str, object]:
        if not self._password:
            raise UsageError(f"the user {self.name} does not exist yet; set user.password to create it")
        return {"password": self._password, "roles": sorted(self._roles)}

    def _changes(self, there: Mapping[str, Any]) -> list[Mapping[str, object]]:
        roles = set(_names(there.get("roles"), "role"))
        changes: list[Mapping[str, object]] = []
        if self._password:
            changes.append({"password": self._password})
        if not self._known and not self._roles:
            return changes
        changes += [
            {verb: sorted(names)}
            for verb, names in (("grant", self._roles - roles), ("revoke", roles - self._roles))
            if names
        ]
        return changes

    def _written(self) -> None:
        self._password = None


class EtcdRole(_Entity):
    """A role: ``role.grant("/app/*", "RW")``, then ``await role.write()``.

    A pattern ends in ``*`` or is one key. ``/app/*`` does not cover ``/app`` itself, and ``/app*`` covers ``/apple``.
    """

    _kind = "role"

    def __init__(self, client: Client, name: str) -> None:
        super().__init__(client, name)
        self._paths: dict[str, set[str]] = {"read": set(), "write": set()}

    def grant(self, path: str, permission: str) -> None:
        """Add the right to read (``"R"``), write (``"W"``) or both (``"RW"``), with the next ``write``."""
        for right in _rights(permission):
            self._paths[right].add(path)

    def revoke(self, path: str, permission: str) -> None:
        """Take a right away that ``grant`` or etcd gave to exactly this pattern, with the next ``write``."""
        for right in _rights(permission):
            self._paths[right].discard(path)

    @property
    def acls(self) -> dict[str, str]:
        """The rights by pattern: ``{"/app/*": "RW"}``. A change of this dict changes nothing; set it as a whole."""
        return {
            path: "".join(letter for right, letter in (("read", "R"), ("write", "W")) if path in self._paths[right])
            for path in sorted(self._paths["read"] | self._paths["write"])
        }

    @acls.setter
    def acls(self, acls: Mapping[str, str]) -> None:
        paths: dict[str, set[str]] = {"read": set(), "write": set()}
        for path, permission in acls.items():
            for right in _rights(permission):
                paths[right].add(path)
        self._paths = paths
        self._known = True

    def __repr__(self) -> str:
        return f"<EtcdRole {self.name} acls={self.acls}>"

    def _take(self, body: Mapping[str, Any]) -> None:
        self._paths = _paths(body)
        self._known = True

    def _whole(self) -> Mapping[str, object]:
        return {"permissions": {"kv": {right: sorted(paths) for right, paths in self._paths.items()}}}

    def _changes(self, there: Mapping[str, Any]) -> list[Mapping[str, object]]:
        old = _paths(there)
        if not self._known and not self.acls:
            return []
        given = {right: sorted(self._paths[right] - old[right]) for right in old}
        taken = {right: sorted(old[right] - self._paths[right]) for right in old}
        return [{verb: {"kv": kv}} for verb, kv in (("revoke", taken), ("grant", given)) if any(kv.values())]

    def _written(self) -> None:
        pass


def _names(entries: object, key: str) -> list[str]:
    """Names from a list that etcd writes as texts in one place, and as objects in another."""
    if not isinstance(entries, list):
        return []
    return [str(entry[key]) if isinstance(entry, dict) else str(entry) for entry in entries]


def _paths(body: Mapping[str, Any]) -> dict[str, set[str]]:
    kv = (body.get("permissions") or {}).get("kv") or {}
    return {right: set(kv.get(right) or ()) for right in ("read", "write")}


def _rights(permission: str) -> list[str]:
    if not permission or not set(permission) <= {"R", "W"}:
        raise UsageError(f"a permission is 'R', 'W' or 'RW', not {permission!r}")
    return [{"R": "read", "W": "write"}[letter] for letter in permission]
