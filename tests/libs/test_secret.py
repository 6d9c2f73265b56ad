import copy
import json
import pickle
import traceback

import pytest
from pydantic import BaseModel, ValidationError

from libs.secret import Secret

CANARY = "CNRYsecret"


class Holder(BaseModel):
    secret: Secret


def test_only_reveal_gives_a_secret_out() -> None:
    secret = Secret(CANARY)
    assert secret.reveal() == CANARY
    percent, braces = "%s", "{}"
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>40}", f"{secret!r}"]
    shown += [percent % secret, braces.format(secret)]
    assert CANARY not in "".join(shown)


def test_a_container_of_a_secret_shows_nothing() -> None:
    holder = Holder.model_validate({"secret": CANARY})
    assert CANARY not in repr([Secret(CANARY)]) + repr({"a": Secret(CANARY)}) + repr(holder)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_secret_is_not_pickled(protocol: int) -> None:
    with pytest.raises(TypeError) as caught:
        pickle.dumps(Secret(CANARY), protocol)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_secret_is_not_copied_on_the_quiet(duplicate: object) -> None:
    assert callable(duplicate)
    with pytest.raises(TypeError):
        duplicate(Secret(CANARY))


def test_a_secret_does_not_become_json() -> None:
    with pytest.raises(TypeError) as caught:
        json.dumps({"secret": Secret(CANARY)})
    assert CANARY not in str(caught.value)
    assert CANARY not in json.dumps({"secret": Secret(CANARY)}, default=str)


def test_a_model_s_json_holds_no_secret() -> None:
    try:
        text = Holder.model_validate({"secret": CANARY}).model_dump_json()
    except ValueError as error:
        text = "".join(traceback.format_exception(error))
    assert CANARY not in text


def test_a_secret_has_no_attributes_to_look_at() -> None:
    with pytest.raises(TypeError):
        vars(Secret(CANARY))


def test_secrets_are_equal_by_value() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1
    assert not Secret("")


def test_a_model_turns_text_into_a_secret() -> None:
    assert Holder.model_validate({"secret": CANARY}).secret == Secret(CANARY)
    with pytest.raises(ValidationError):
        Holder.model_validate({"secret": ""})
