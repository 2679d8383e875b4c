"""What an ML user's side does: prepare a task, quote it, run it, fetch its result."""
