"""A whole network on one machine: ledger, storage, bootstrap node and trainers, each a process of its own."""
