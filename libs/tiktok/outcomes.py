"""What can be known about a request that got no usable answer.

CallFailed
├── NotSent      TikTok never saw it: repeating is safe
├── NoAnswer     it was sent and no whole answer came: whether it was carried out is unknown
└── TooLarge     the answer is bigger than is accepted
"""


class CallFailed(Exception):
    """A call to TikTok failed; the text holds no part of the request."""


class NotSent(CallFailed):
    """The connection could not be made."""


class NoAnswer(CallFailed):
    """The connection broke or fell silent after the request was sent."""


class TooLarge(CallFailed):
    """The answer is larger than is accepted."""
