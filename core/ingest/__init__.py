"""Sources: each file turns one kind of input into spans."""
