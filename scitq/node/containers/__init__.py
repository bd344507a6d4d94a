"""Tasks in containers: the engine keeps what runs, the agent follows it, and finds it again after a death."""
