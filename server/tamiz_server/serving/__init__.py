"""One request, whatever its protocol: which version, whose rows, what answer."""
