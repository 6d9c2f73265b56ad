"""The vocabulary of misfortune: every kind of fault, what it takes, and nothing else."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, field_validator

FaultEndpoint = Literal["token", "revoke", "user", "video", "shop_token", "shops", "*"]
Endpoint = Literal["token", "revoke", "user_info", "video_list", "video_query", "shop_token", "shops"]
FAMILIES: dict[Endpoint, FaultEndpoint] = {
    "token": "token",
    "revoke": "revoke",
    "user_info": "user",
    "video_list": "video",
    "video_query": "video",
    "shop_token": "shop_token",
    "shops": "shops",
}
MEBIBYTE = 1 << 20


def _one_line(text: str) -> str:
    if "\r" in text or "\n" in text or not text.isascii():
        raise ValueError("a header is one line of ASCII")
    return text


HeaderText = Annotated[str, AfterValidator(_one_line)]
Status = Annotated[int, Field(ge=200, le=599)]
ErrorStatus = Annotated[int, Field(ge=400, le=599)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]
Size = Annotated[int, Field(ge=1, le=4_096 * MEBIBYTE)]
When = Literal["before", "after"]


class Fault(BaseModel):
    """What every fault says: for whom, where and how often; `count` None is for ever, `skip` lets calls pass first."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    endpoint: FaultEndpoint = "*"
    open_id: str = "*"
    count: Annotated[int, Field(ge=1)] | None = 1
    skip: Annotated[int, Field(ge=0)] = 0
    probability: Annotated[float, Field(gt=0, le=1)] = 1
    seed: int = 1

    def fits(self, endpoint: Endpoint, open_id: str | None) -> bool:
        """Say whether this call is meant."""
        return self.endpoint in ("*", FAMILIES[endpoint]) and self.open_id in ("*", open_id)

    def turn(self, _number: int) -> "Fault":
        """Return the fault as it strikes for the n-th time, counted from 0."""
        return self


class PlainStatus(Fault):
    """A failure with the body of the endpoint's own kind."""

    kind: Literal["429", "500", "503"]


class StatusFault(Fault):
    """Any failure, with any Retry-After, sensible or not."""

    kind: Literal["status"]
    status: ErrorStatus
    retry_after: HeaderText | int | float | None = None


class Alternating(Fault):
    """One failure after another, round and round; for ever unless `count` is given."""

    kind: Literal["alternating"]
    statuses: Annotated[tuple[ErrorStatus, ...], Field(min_length=1)] = (500, 502, 503, 504)
    count: Annotated[int, Field(ge=1)] | None = None

    def turn(self, number: int) -> Fault:
        """Return the failure whose turn it is."""
        return StatusFault(kind="status", status=self.statuses[number % len(self.statuses)])


class Html(Fault):
    """A page instead of JSON, as proxies and firewalls send it."""

    kind: Literal["html"]
    status: Status = 502
    content_type: HeaderText = "text/html; charset=utf-8"


class ErrorAnswer(Fault):
    """A documented refusal; with HTTP 200 unless another status or `native` is given."""

    kind: Literal["error"]
    code: Annotated[str, Field(min_length=1)] | int
    message: str = ""
    status: Status | Literal["native"] = 200


class OAuthError(Fault):
    """A refusal of the token endpoint, with the status of the switches."""

    kind: Literal["oauth_error"]
    error: str = "invalid_grant"


class AccessTokenInvalid(Fault):
    """The Display API's refusal of a token."""

    kind: Literal["access_token_invalid"]


class Redirect(Fault):
    """A redirection to wherever."""

    kind: Literal["redirect"]
    to: Annotated[str, Field(pattern=r"^https?://[\x21-\x7e]+$")]
    status: Literal[301, 302, 303, 307, 308] = 302


class AnswerLost(Fault):
    """The work is done, and the connection closes without a byte."""

    kind: Literal["answer_lost"]


class Reset(Fault):
    """The connection is reset, before or after the work is done."""

    kind: Literal["reset"]
    when: When = "before"


class Truncated(Fault):
    """The body ends early, half way unless told; the length announced is that of the whole or of what is sent."""

    kind: Literal["truncated"]
    at_byte: Annotated[int, Field(ge=0)] | None = None
    announced: Literal["whole", "sent"] = "whole"
    end: Literal["close", "reset"] = "close"


class Slow(Fault):
    """The answer comes later than usual."""

    kind: Literal["slow"]
    seconds: Seconds = 5


class Latency(Fault):
    """The answer takes this long instead of what the switches say."""

    kind: Literal["latency"]
    seconds: Seconds


class Drip(Fault):
    """The answer comes in small pieces, with a pause before each."""

    kind: Literal["drip"]
    part: Literal["body", "headers", "all"] = "body"
    bytes: Annotated[int, Field(ge=1)] = 1
    seconds: Seconds = 1


class Huge(Fault):
    """A JSON body of this size, before or after the work is done."""

    kind: Literal["huge"]
    bytes: Size = 64 * MEBIBYTE
    when: When = "before"


class GzipBomb(Fault):
    """A small body that is this large when it is decoded, before or after the work is done."""

    kind: Literal["gzip_bomb"]
    bytes: Size = 256 * MEBIBYTE
    when: When = "before"


class ManyHeaders(Fault):
    """The right answer under so many headers more."""

    kind: Literal["many_headers"]
    headers: Annotated[int, Field(ge=1, le=2_000_000)] = 10_000


class Headers(Fault):
    """The right answer with these headers instead of its own; a name may come twice."""

    kind: Literal["headers"]
    headers: Annotated[list[tuple[HeaderText, HeaderText]], Field(min_length=1)]


class FieldFault(Fault):
    """The right answer with fields set to other values or left out, by JSON pointer; `*` is every item of a list."""

    kind: Literal["field"]
    set: dict[str, Any] = Field(default_factory=dict)
    remove: list[str] = Field(default_factory=list)

    @field_validator("set", "remove")
    @classmethod
    def _pointers(cls, value: Any) -> Any:
        wrong = [pointer for pointer in value if not pointer.startswith("/")]
        if wrong:
            raise ValueError(f"a JSON pointer begins with a slash, unlike {wrong[0]!r}")
        return value


class _VideoListFault(Fault):
    endpoint: Literal["video"] = "video"

    def fits(self, endpoint: Endpoint, open_id: str | None) -> bool:
        """Say whether this is a page of videos of the account meant."""
        return endpoint == "video_list" and super().fits(endpoint, open_id)


class Paging(_VideoListFault):
    """Pages that never end: the same again, has_more for ever, the cursor going back, or no videos and yet more."""

    kind: Literal["paging"]
    mode: Literal["loop", "forever", "back", "empty"]


class DuplicateVideos(_VideoListFault):
    """This share of a page's videos comes twice: within the page, or again on the next one."""

    kind: Literal["duplicate_videos"]
    share: Annotated[float, Field(gt=0, le=1)] = 0.2
    across: bool = False


_ANY: TypeAdapter[Fault] = TypeAdapter(
    Annotated[
        PlainStatus
        | StatusFault
        | Alternating
        | Html
        | ErrorAnswer
        | OAuthError
        | AccessTokenInvalid
        | Redirect
        | AnswerLost
        | Reset
        | Truncated
        | Slow
        | Latency
        | Drip
        | Huge
        | GzipBomb
        | ManyHeaders
        | Headers
        | FieldFault
        | Paging
        | DuplicateVideos,
        Field(discriminator="kind"),
    ]
)


def read_fault(value: Any) -> Fault:
    """Return the fault a JSON object describes; ValidationError names what does not fit."""
    return _ANY.validate_python(value)
