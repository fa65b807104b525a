"""Python AI that runs in the browser when it can and on your server when it must."""

__version__ = "0.1.0"
