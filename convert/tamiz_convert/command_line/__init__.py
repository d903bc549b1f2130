"""`tamiz-convert`: its arguments, what its subcommands do, and the files that they read."""
