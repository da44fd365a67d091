"""Registers the app and the receivers that keep positions in step with transactions."""

from django.apps import AppConfig


class PortfolioConfig(AppConfig):
    name = "portfolio"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from portfolio import events, splits  # noqa: F401  (connects their receivers)
