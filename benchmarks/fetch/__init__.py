"""`scitq fetch` beside s5cmd, rclone, the aws command, aria2 and obstore alone: whole processes, start included."""
