"""The same tasks over HTTP, in OpenAI's form, and the static site: a Starlette application."""
