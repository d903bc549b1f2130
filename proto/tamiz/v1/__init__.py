"""Version 1 of the contract: `prediction.proto`, `manifest.proto` and their generated code (`make proto`)."""
