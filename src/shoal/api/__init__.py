"""The HTTP API of a node: an ML user's tasks, the market around them, and a registry of commands."""
