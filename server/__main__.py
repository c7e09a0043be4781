"""`python -m server` is the command `diemcau`."""

from server.cli import main

main()
