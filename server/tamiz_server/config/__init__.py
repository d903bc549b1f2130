"""What an operator can set, checked when it is read."""
