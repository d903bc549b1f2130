"""Who may ask what, and how often: tokens, JSON Web Tokens, TLS."""
