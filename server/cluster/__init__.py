"""Several server processes as one: who else is there, what they tell each other, who acts for all.

Nothing here is durable and nothing waits for it: the log is the truth, and a process that hears nothing polls it. The
only door to Redis; without one the same interfaces work within the process.
"""
