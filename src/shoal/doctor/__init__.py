"""`shoal doctor`: what stands in the way of a node on this machine, what it means, and what to do."""
