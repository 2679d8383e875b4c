"""Earning with an idle machine: what it can do, what it may ask, when it may work, and what it has earned."""
