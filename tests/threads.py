"""Threads that begin together, for tests of races."""

import threading
from collections.abc import Callable

from django.db import connections


def at_once(*functions: Callable[[], object]) -> list[BaseException]:
    """Run functions in threads that begin together, each with database connections of its own; what they raised."""
    barrier = threading.Barrier(len(functions))
    raised: list[BaseException] = []

    def run(function: Callable[[], object]) -> None:
        try:
            barrier.wait()
            function()
        except BaseException as error:  # noqa: BLE001 - a thread hands it to the test
            raised.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised
