"""The JSON of the gateway as pure functions of the services' messages."""
