"""Pure functions over frames: nothing in here reads a clock, a file or a socket."""
