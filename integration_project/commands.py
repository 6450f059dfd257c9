"""What our commands have in common: examples in their help, and patience with our own share of a vendor's limit."""

import time
from argparse import RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from integration_project.errors import BudgetSpent

MOST_PATIENCE = 60.0
"""Seconds that are waited at a time for our own share of a vendor's limit."""


class CommandWithExamples(BaseCommand):
    """A command whose help ends with examples, shown as they are written."""

    examples: str

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Put the examples after the arguments."""
        kwargs.update(epilog=self.examples, formatter_class=RawDescriptionHelpFormatter)
        return super().create_parser(prog_name, subcommand, **kwargs)


def wait_for_share(spent: BudgetSpent) -> None:
    """Wait until the share may be there again, or for as long as is waited at a time."""
    time.sleep(min(spent.retry_after or 1.0, MOST_PATIENCE))
