"""A strict simulator of m3ter: one organisation in memory, speaking m3ter's HTTP.

What m3ter documents it does; what nobody documents is in `guesses.py` and nowhere else.
"""

from integration_project.vendors.m3ter.simulator.application import M3terSimulator
from integration_project.vendors.m3ter.simulator.guesses import Guesses

__all__ = ["Guesses", "M3terSimulator"]
