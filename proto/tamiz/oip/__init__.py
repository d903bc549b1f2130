"""The Open Inference Protocol: its .proto file, and its messages in a descriptor pool of their own."""
