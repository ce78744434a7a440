"""What a machine, a folder and a project have for Noria: each check passed, failed, or is unknown, with what to do about it."""
