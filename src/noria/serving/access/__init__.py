"""Access: who may ask what, and how often."""
