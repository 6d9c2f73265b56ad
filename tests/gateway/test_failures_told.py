from structlog.testing import capture_logs

from tests.gateway.served import Gateway

WRONG = {"X-API-KEY": "CNRYwrong-key-0123456789-0123456789-01"}


async def metrics(gateway: Gateway) -> str:
    return (await gateway.client.get("/metrics")).text


async def test_a_lockout_names_its_address_and_end_once(gateway: Gateway) -> None:
    with capture_logs() as lines:
        for _ in range(8):
            await gateway.client.get("/admin/stores", headers=WRONG)

    told = [line for line in lines if line["event"] == "address locked out"]
    assert [line["address"] for line in told] == ["127.0.0.1"]
    assert told[0]["until"].endswith("+00:00")
    assert "CNRY" not in str(lines)
    body = await metrics(gateway)
    assert "tokhub_auth_failures_total 5.0" in body
    assert "tokhub_auth_lockouts_total 1.0" in body


async def test_a_made_up_method_makes_no_label_of_its_own(gateway: Gateway) -> None:
    for method in ("PROPFIND", "MKCOL"):
        await gateway.client.request(method, "/nowhere")

    assert 'tokhub_http_requests_total{method="other",route="unmatched",status="404"} 2.0' in await metrics(gateway)
