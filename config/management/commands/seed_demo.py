"""Makes the tables and, once, the demo's users, assets and portfolios."""

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand

from config import demo, logins


class Command(BaseCommand):
    help = "Creates or updates the tables and puts the demo's data into them, unless it is there."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        demo.seed()
        logins.settle(settings.STATE_DIR, well_known=settings.DEMO_LOGIN)
