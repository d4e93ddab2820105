"""One module a resource; each turns a request into one call of a use case and its answer."""
