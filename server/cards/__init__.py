"""What is printed before the meeting: QR codes, and per hall a sheet with the codes of the hall and its delegates."""
