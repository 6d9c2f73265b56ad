"""The gateway's routes: each reads a request, makes its calls and answers with their shape."""
