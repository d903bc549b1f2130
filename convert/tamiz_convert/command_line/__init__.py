"""`tamiz-convert`: its arguments, its subcommands, and the files that they read."""
