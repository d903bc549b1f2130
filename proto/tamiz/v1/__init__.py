"""Version 1 of the contract: `prediction.proto`, `manifest.proto` and the code generated from them (`make proto`)."""
