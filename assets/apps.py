"""Registers the app and the receivers that keep remembered calendars true."""

from django.apps import AppConfig


class AssetsConfig(AppConfig):
    name = "assets"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from assets import calendars  # noqa: F401  (connects its receivers)
