"""The control interface is a page of forms where a browser asks for one."""

from integration_project.vendors.simulation.control_page import control_page


def test_every_control_is_a_form_with_its_words_and_its_arguments() -> None:
    def move(*, days: int = 0, where: str) -> None:
        """Move the clock <on>."""

    page = control_page(vendor="Paddle", now="2026-01-01", controls={"clock_move": move}).decode()

    assert '<form action="clock_move"' in page
    assert "Move the clock &lt;on&gt;." in page
    assert '<input name="days" placeholder="0">' in page
    assert '<input name="where" placeholder="required">' in page
