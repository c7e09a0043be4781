"""What staff take away from a meeting: attendance, questions and turns at the floor, as Excel workbook and CSV."""
