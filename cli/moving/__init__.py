"""Moving in: takes over what another system's tables hold, once that system has stopped."""
