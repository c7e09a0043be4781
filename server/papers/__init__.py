"""Conference papers: PDF files checked, stored, and shown page by page.

A PDF from outside is a program for whoever reads it. So only child processes with limits open one (`worker`); the
server process sees paths, facts, pictures and text. No HTTP in here.
"""
