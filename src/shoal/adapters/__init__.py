"""Implementations of the ports, one package each; none imports another."""
