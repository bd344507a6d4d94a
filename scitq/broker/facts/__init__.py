"""What each fact does to the state, by what it speaks of; `apply` is the only caller."""
