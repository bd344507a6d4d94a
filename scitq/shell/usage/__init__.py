"""What tasks really used, beside what they asked for, and what to ask next time."""
