"""The prediction log: what was answered, on disk before the answer leaves; and later, sealed into a table."""
