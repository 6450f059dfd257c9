"""A strict simulator of Paddle Billing: its HTTP, its rules, its webhooks, and what people do outside its API.

`guesses.py` says what is guesswork about Paddle; `sample.py` is the account it starts with.
"""

from integration_project.vendors.paddle.simulator.account import PaddleSimulator

__all__ = ["PaddleSimulator"]
