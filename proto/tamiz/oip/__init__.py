"""The Open Inference Protocol: its .proto file, and messages that share no descriptor pool with anybody else's."""
