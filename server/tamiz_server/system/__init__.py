"""What the machine allows: processors, memory, files, niceness."""
