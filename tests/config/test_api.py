from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import Client


def test_the_description_of_the_api_is_complete(tmp_path: Path) -> None:
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "schema.yml"))
    text = (tmp_path / "schema.yml").read_text()
    for address in (
        "/api/assets/:",
        "/api/assets/{symbol}/bars/:",
        "/api/assets/{symbol}/prices/:",
        "/api/portfolios/{portfolio_id}/transactions/:",
        "/api/watchlist/:",
        "/api/tokens/:",
    ):
        assert address in text


@pytest.mark.django_db
def test_the_page_of_the_api_has_nothing_inline(client: Client) -> None:
    answer = client.get("/api/docs/")
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "<style" not in page
    assert page.count("<script") == page.count("<script src=")
    assert "unsafe" not in answer["Content-Security-Policy"]
    script = client.get("/api/docs/?script=")
    assert script["Content-Type"].startswith("application/javascript")
    assert client.get("/api/schema/").status_code == 200
