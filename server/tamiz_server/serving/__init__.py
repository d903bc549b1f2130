"""One request, whatever its protocol: which version answers it, whose rows they are, what it is answered."""
