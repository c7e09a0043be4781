"""The HTTP side: one file a topic, one table of routes (routes.py) from which the OpenAPI page is made."""
