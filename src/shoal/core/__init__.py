"""The pure part of shoal: rules of the market and of a task, with no I/O, clock, randomness or logging."""
