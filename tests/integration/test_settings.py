"""Settings of pydantic-settings out of a real etcd."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated

import pytest
from pydantic import AliasChoices, BaseModel, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from etcdorm import DecodeError, EtcdModel, NotFoundError, Session, UnavailableError, UsageError, connect
from etcdorm.settings import EtcdSettingsSource, NeedsRestart, explain, live_settings
from etcdorm.settings.restart import Waiting, hold
from etcdorm.testing import EtcdServer
from etcdorm.v2 import Client
from tests.support.raw import DEADLINE


class Database(BaseModel):
    host: str = "localhost"
    port: int = 5432
    password: SecretStr = SecretStr("")


class AppSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="APP_", env_nested_delimiter="__")

    debug: bool = False
    db: Database = Database()
    origins: list[str] = []
    features: dict[str, bool] = {}
    region: str = Field(default="eu", validation_alias=AliasChoices("zone", "area"))
    listen: Annotated[str, NeedsRestart()] = ":80"


Make = Callable[..., type[AppSettings]]


@pytest.fixture
def settings_of() -> Make:
    """Makes the settings class that lies at /config/web in an etcd; the environment counts for more."""

    def make(url: str, **options: bool | float) -> type[AppSettings]:
        class Settings(AppSettings):
            @classmethod
            def settings_customise_sources(
                cls,
                settings_cls: type[BaseSettings],
                init_settings: PydanticBaseSettingsSource,
                env_settings: PydanticBaseSettingsSource,
                dotenv_settings: PydanticBaseSettingsSource,
                file_secret_settings: PydanticBaseSettingsSource,
            ) -> tuple[PydanticBaseSettingsSource, ...]:
                required, timeout = bool(options.get("required")), float(options.get("timeout", 5.0))
                etcd = EtcdSettingsSource(settings_cls, url, path="/config/web", required=required, timeout=timeout)
                return init_settings, env_settings, etcd

        return Settings

    return make


async def write(client: Client, **texts: str) -> None:
    for name, text in texts.items():
        await client.write(f"/config/web/{name.replace('__', '/')}", text)


async def test_settings_are_read_from_plain_keys(etcd: EtcdServer, client: Client, settings_of: Make) -> None:
    await write(client, debug="true", db__host="h1", db__port="99", db__password="geheim", origins='["a"]')
    await write(client, features__search="true", region="us", unknown="?")
    settings = settings_of(etcd.url)()  # blocks, also in a running loop, where it has a thread of its own
    assert settings.debug is True
    assert settings.db == Database(host="h1", port=99, password=SecretStr("geheim"))
    assert (settings.origins, settings.features, settings.region) == (["a"], {"search": True}, "us")


async def test_settings_are_read_from_what_was_saved(etcd: EtcdServer, session: Session, settings_of: Make) -> None:
    class Config(EtcdModel, path="/config/{app}", layout="document"):
        app: str
        debug: bool
        db: Database

    await session.save(Config(app="web", debug=True, db=Database(port=1)))
    settings = await asyncio.to_thread(settings_of(etcd.url))
    assert (settings.debug, settings.db.port) == (True, 1)


async def test_what_counts_for_more_is_laid_over_it_field_by_field(
    etcd: EtcdServer, client: Client, settings_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write(client, db__host="h1", db__port="99", listen=":81")
    monkeypatch.setenv("APP_DB__HOST", "h2")
    settings = settings_of(etcd.url)
    made = settings(listen=":82")
    assert (made.db.host, made.db.port, made.listen) == ("h2", 99, ":82")
    assert str(explain(settings, "db.host")) == (
        "db.host: EnvSettingsSource (APP_DB__HOST), over EtcdSettingsSource (/config/web/db/host)"
    )
    assert str(explain(settings, "db.port")) == "db.port: EtcdSettingsSource (/config/web/db/port)"
    assert str(explain(settings, "debug")) == "debug: the default"
    assert explain(settings, "db.host").value == "h2"
    with pytest.raises(UsageError, match=r"no field .db\.user."):
        explain(settings, "db.user")


async def test_no_record_leaves_the_defaults_unless_it_is_required(etcd: EtcdServer, settings_of: Make) -> None:
    assert settings_of(etcd.url)().db == Database()
    with pytest.raises(NotFoundError, match="/config/web"):
        settings_of(etcd.url, required=True)()


async def test_what_does_not_fit_is_told_without_what_it_is(
    etcd: EtcdServer, client: Client, settings_of: Make
) -> None:
    await write(client, origins="geheim")
    with pytest.raises(DecodeError, match="/config/web/origins") as caught:
        settings_of(etcd.url)()
    assert "geheim" not in str(caught.value)
    await write(client, origins="[]", db__port="many")
    with pytest.raises(ValidationError, match=r"db\.port"):
        settings_of(etcd.url)()


def test_an_etcd_that_is_away_is_told(settings_of: Make) -> None:
    with pytest.raises(UnavailableError):
        settings_of("http://127.0.0.1:1", timeout=0.3)()


async def test_a_function_may_connect(etcd: EtcdServer, client: Client) -> None:
    await write(client, debug="true")
    source = EtcdSettingsSource(AppSettings, lambda: connect(etcd.url, timeout=3.0), path="/config/web")
    assert source() == {"debug": True}
    with pytest.raises(UsageError):
        EtcdSettingsSource(AppSettings, etcd.url, path="config/web")


def test_fields_that_need_a_restart_stay_as_they_are() -> None:
    running, new = AppSettings(), AppSettings(listen=":81", debug=True)
    held, waiting = hold(running, new)
    assert (held.listen, held.debug) == (":80", True)
    assert waiting == (Waiting("listen", ":80", ":81"),)
    assert hold(running, AppSettings()) == (running, ())


# -- live --------------------------------------------------------------------------------------------------------------


async def test_live_settings_follow_what_is_in_etcd(etcd: EtcdServer, client: Client, settings_of: Make) -> None:
    await write(client, db__host="h1")
    async with live_settings(settings_of(etcd.url)) as live, asyncio.timeout(DEADLINE):
        first, told = live.value, asyncio.Queue[tuple[str, str]]()
        live.on_change(lambda old, new: told.put_nowait((old.db.host, new.db.host)), fields="db.host")
        await write(client, debug="true")
        await live.until(lambda value: value.debug)
        await write(client, db__host="h2")
        assert await told.get() == ("h1", "h2")
        assert (first.debug, first.db.host) == (False, "h1")
        assert str(live.explain("db.host")) == "db.host: EtcdSettingsSource (/config/web/db/host)"
        assert type(live.value).__mro__[1] is AppSettings
        await client.delete("/config/web", recursive=True)
        assert (await live.until(lambda value: not value.debug)).db.host == "localhost"


async def test_a_bad_edit_keeps_what_was_valid_and_is_told(
    etcd: EtcdServer, client: Client, settings_of: Make, caplog: pytest.LogCaptureFixture
) -> None:
    await write(client, db__port="1")
    async with live_settings(settings_of(etcd.url)) as live, asyncio.timeout(DEADLINE):
        await write(client, db__port="geheim")
        await live.until(lambda value: live.error is not None)
        assert isinstance(live.error, DecodeError)
        assert [(each.key, each.field) for each in live.error.failures] == [
            ("EtcdSettingsSource (/config/web/db/port)", "db.port")
        ]
        assert live.value.db.port == 1
        assert "db.port" in caplog.text
        assert "geheim" not in caplog.text + str(live.error)
        await write(client, db__port="2")
        await live.until(lambda value: value.db.port == 2)
        assert live.error is None


async def test_a_field_that_needs_a_restart_is_reported_and_not_taken(
    etcd: EtcdServer, client: Client, session: Session, settings_of: Make
) -> None:
    async with live_settings(settings_of(etcd.url), session) as live, asyncio.timeout(DEADLINE):
        await write(client, listen=":81")
        await live.until(lambda value: bool(live.waiting))
        assert live.waiting == (Waiting("listen", ":80", ":81"),)
        assert live.value.listen == ":80"
        await write(client, listen=":80", debug="true")
        await live.until(lambda value: value.debug)
        await live.until(lambda value: not live.waiting)


async def test_live_settings_outlive_an_etcd_that_restarts(etcd: EtcdServer, settings_of: Make) -> None:
    async with live_settings(settings_of(etcd.url)) as live, asyncio.timeout(DEADLINE):
        await asyncio.to_thread(etcd.kill)
        await asyncio.to_thread(etcd.restart)
        async with Client(etcd.url) as client:
            await write(client, debug="true")
        await live.until(lambda value: value.debug)
        assert not live.stale


async def test_settings_that_are_not_valid_at_the_start_are_refused(
    etcd: EtcdServer, client: Client, settings_of: Make
) -> None:
    await write(client, db__port="many")
    with pytest.raises(DecodeError, match=r"db\.port"):
        async with live_settings(settings_of(etcd.url)):
            pass
    with pytest.raises(UsageError, match="no EtcdSettingsSource"):
        async with live_settings(AppSettings):
            pass
    with pytest.raises(UnavailableError):
        async with live_settings(settings_of("http://127.0.0.1:1", timeout=0.3)):
            pass
