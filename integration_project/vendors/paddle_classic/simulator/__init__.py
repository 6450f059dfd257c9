"""A strict simulator of Paddle Classic: its HTTP, its rules, its signed alerts, and what people do outside its API.

`guesses.py` says what is guesswork about Classic; `sample.py` is the account it starts with.
"""

from integration_project.vendors.paddle_classic.simulator.account import ClassicSimulator

__all__ = ["ClassicSimulator"]
