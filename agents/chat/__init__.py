"""The chat: a person states goals, approves dear runs, asks why, and takes the result."""
