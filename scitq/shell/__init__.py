"""What people type: one command tree, and what it prints."""
