"""One module a Lambda, named for its job: parse, one call, return."""
