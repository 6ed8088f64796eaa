"""Settings of pydantic-settings that lie in etcd; needs the extra ``etcdorm[settings]``."""

from etcdorm.settings.assembly import Explanation, Origin, explain
from etcdorm.settings.live import LiveSettings, live_settings
from etcdorm.settings.restart import NeedsRestart, Waiting
from etcdorm.settings.source import EtcdSettingsSource

__all__ = [
    "EtcdSettingsSource",
    "Explanation",
    "LiveSettings",
    "NeedsRestart",
    "Origin",
    "Waiting",
    "explain",
    "live_settings",
]
