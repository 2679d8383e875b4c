"""What a node does in each role, as trio services over the ports."""
