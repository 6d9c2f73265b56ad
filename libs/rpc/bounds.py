"""How much one message may weigh, on either side of a call."""

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
