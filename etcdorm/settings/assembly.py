"""Making settings as their constructor does, noting what each source says; and telling where a value came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, InitSettingsSource, PydanticBaseSettingsSource

from etcdorm.errors import DecodeError, FieldFailure
from etcdorm.mapping.reader import field_name, what_is_wrong
from etcdorm.settings.names import FieldPath
from etcdorm.settings.source import EtcdSettingsSource

S = TypeVar("S", bound=BaseSettings)
Fields = Mapping[str, str] | None
Said = Mapping[str, Any]
"""The data of one source; Any, as pydantic-settings has it."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A source that says something of a field: its class, and the key in etcd or the environment variable."""

    source: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.source} ({self.where})" if self.where else self.source


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where the value of a field came from.

    ``origins`` are the sources that say something of it, the one that counts first; none says that it is the default.
    Models within are put together field by field, so for one of them several may count.
    """

    name: str
    origins: tuple[Origin, ...]
    value: object = field(repr=False)

    def __str__(self) -> str:
        if not self.origins:
            return f"{self.name}: the default"
        first, *others = (str(origin) for origin in self.origins)
        return f"{self.name}: {first}" + (f", over {', '.join(others)}" if others else "")


class _Stop(Exception):
    """The sources are known, and no settings are to be made of them."""


@dataclass(slots=True)
class _Building:
    """One call of the constructor, under way."""

    fed: Sequence[Fields] | None
    """The records for the sources in etcd, in their order; None lets them be read."""
    only_sources: bool = False
    sources: tuple[PydanticBaseSettingsSource, ...] = ()
    said: list[Said] = field(default_factory=list)


_building: ContextVar[_Building] = ContextVar("etcdorm settings")


@dataclass(frozen=True, slots=True)
class Assembled(Generic[S]):
    """Settings, and what each source said."""

    settings: S
    sources: tuple[PydanticBaseSettingsSource, ...] = field(repr=False)
    said: tuple[Said, ...] = field(repr=False)

    def explain(self, name: str) -> Explanation:
        """Where the value of a field came from, as ``db.host``.

        Raises: UsageError for what is no field.
        """
        path = FieldPath.parse(type(self.settings), name)
        return Explanation(name, _origins(path, self.sources, self.said), path.value_in(self.settings))


class Assembly(Generic[S]):
    """Makes settings of one class, any number of times."""

    def __init__(self, settings: type[S]) -> None:
        self._settings = settings
        self._noting = _noting(settings)

    def etcd_sources(self) -> list[EtcdSettingsSource]:
        """The sources of the class that lie in etcd; nothing is read for it."""
        building = _Building(None, only_sources=True)
        token = _building.set(building)
        try:
            self._noting()
        except _Stop:
            return [source for source in building.sources if isinstance(source, EtcdSettingsSource)]
        finally:
            _building.reset(token)
        raise AssertionError("settings are never made without asking for their sources")

    def make(self, fed: Sequence[Fields] | None = None) -> Assembled[S]:
        """New settings; ``fed`` has the records of ``etcd_sources``, so that they are not read.

        Raises: DecodeError for settings that are not valid; what a source raises.
        """
        building = _Building(fed)
        token = _building.set(building)
        refusal: DecodeError | None = None
        try:
            made = self._noting()
        except ValidationError as error:
            refusal = self._refusal(error, building)
        finally:
            _building.reset(token)
        if refusal is not None:
            raise refusal  # not from within the handler: what Pydantic raises quotes the values, which may be secret
        # It was made by a subclass which adds no field and no method that settings have; now it is what was asked for.
        object.__setattr__(made, "__class__", self._settings)
        return Assembled(made, building.sources, tuple(building.said))

    def _refusal(self, error: ValidationError, building: _Building) -> DecodeError:
        in_etcd = [source for source in building.sources if isinstance(source, EtcdSettingsSource)]
        failures: list[FieldFailure] = []
        for item in error.errors(include_url=False):
            path = FieldPath.of(self._settings, item["loc"])
            origins = _origins(path, building.sources, building.said)
            is_secret = any(source.values.is_secret(path.names) for source in in_etcd)
            where = str(origins[0]) if origins else "no source"
            failures.append(FieldFailure(where, field_name(item["loc"]), what_is_wrong(item, secret=is_secret)))
        paths = ", ".join(str(source.path) for source in in_etcd)
        return DecodeError(paths or "settings", self._settings.__name__, failures)


class _Tap(PydanticBaseSettingsSource):
    """Stands behind a source, says nothing, and notes what that one said."""

    def __init__(self, settings: type[BaseSettings], source: PydanticBaseSettingsSource, said: list[Said]) -> None:
        super().__init__(settings)
        self._name: str = getattr(source, "__name__", type(source).__name__)
        self._said = said

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        self._said.append(self.settings_sources_data[self._name])
        return {}


def _noting(settings: type[S]) -> type[S]:
    """A subclass whose sources are noted."""

    def settings_customise_sources(
        cls: type[BaseSettings],
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        building = _building.get()
        building.sources = settings.settings_customise_sources(
            settings, init_settings, env_settings, dotenv_settings, file_secret_settings
        )
        if building.only_sources:
            raise _Stop
        if building.fed is not None:
            in_etcd = [source for source in building.sources if isinstance(source, EtcdSettingsSource)]
            for source, fields in zip(in_etcd, building.fed, strict=True):
                source.feed(fields)
        return tuple(each for source in building.sources for each in (source, _Tap(settings, source, building.said)))

    make: Callable[[str, tuple[type, ...], dict[str, object]], type[S]] = type(settings)
    members: dict[str, object] = {
        "__module__": settings.__module__,
        "__qualname__": settings.__qualname__,
        "settings_customise_sources": classmethod(settings_customise_sources),
    }
    return make(settings.__name__, (settings,), members)


def _origins(
    path: FieldPath, sources: Sequence[PydanticBaseSettingsSource], said: Sequence[Said]
) -> tuple[Origin, ...]:
    """The sources that say something of a field, in the order in which they count."""
    pairs = zip(sources, said, strict=True)
    return tuple(Origin(type(source).__name__, _where(source, path)) for source, data in pairs if path.is_in(data))


def _where(source: PydanticBaseSettingsSource, path: FieldPath) -> str:
    if isinstance(source, EtcdSettingsSource):
        return source.where(path)
    if isinstance(source, EnvSettingsSource):
        return _variable(source, path)
    return "an argument" if isinstance(source, InitSettingsSource) else ""


def _variable(source: EnvSettingsSource, path: FieldPath) -> str:
    """The environment variable of a field; or of the outermost model that it is in, which may be given as JSON."""
    first, *within = path.steps()
    own = [f"{source.env_prefix}{name}" for name in first]
    names = own
    if source.env_nested_delimiter is not None:
        for step in within:
            names = [f"{name}{source.env_nested_delimiter}{part}" for name in names for part in step]
    for name in (*names, *own):
        if (name if source.case_sensitive else name.lower()) in source.env_vars:
            return name if source.case_sensitive else name.upper()
    return ""


def explain(settings: type[BaseSettings], name: str) -> Explanation:
    """Where the value of a field comes from, if settings are made now: ``explain(Settings, "db.host")``.

    Raises: UsageError for what is no field; DecodeError for settings that are not valid; what a source raises.
    """
    return Assembly(settings).make().explain(name)
