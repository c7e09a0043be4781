"""Lists of halls and delegates as clerks keep them in Excel, read into lines that the meeting can take.

The way in: `workbook.read_workbook` (bytes to rows, safely) → `lists.find_lists` (the two lists) → `plan.plan` (lines
for `roster.import`, and every row somebody should look at). All of it is synchronous, and pure after the first step.
"""
