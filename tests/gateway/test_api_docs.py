import pytest

from services.gateway.openapi.answers import ANSWERS
from tests.gateway.served import Gateway

DOCS = ("/api/docs", "/docs", "/swagger")


@pytest.mark.parametrize("path", DOCS)
async def test_the_docs_load_nothing_from_elsewhere(gateway: Gateway, path: str) -> None:
    page = await gateway.client.get(path)
    script = await gateway.client.get("/api/docs/swagger-ui-bundle.js")
    style = await gateway.client.get("/api/docs/swagger-ui.css")

    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "http" not in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "SwaggerUIBundle" in script.text
    assert ".swagger-ui" in style.text


async def test_every_operation_is_described_with_its_errors(gateway: Gateway) -> None:
    document = (await gateway.client.get("/api/openapi.json")).json()
    operations = {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }

    assert set(operations) == set(ANSWERS)
    stores = operations["POST /admin/stores"]["responses"]
    assert set(stores) == {"201", "400", "401", "403", "409", "413", "415", "429", "500", "503", "504"}
    assert set(stores["409"]["content"]["application/json"]["examples"]) == {"STORE_EXISTS"}
    assert stores["201"]["content"]["application/json"]["example"]["data"]["storeCode"] == "store_jakarta_01"
    shops = operations["POST /api/v1/tiktok/auth/callback"]["responses"]
    assert set(shops["401"]["content"]["application/json"]["examples"]) == {
        "STATE_EXPIRED",
        "STATE_INVALID",
        "STATE_REUSED",
        "UNAUTHORIZED",
    }


async def test_the_document_names_every_way_to_be_known(gateway: Gateway) -> None:
    document = (await gateway.client.get("/api/openapi.json")).json()

    assert set(document["components"]["securitySchemes"]) == {"ApiKey", "Session", "UserToken"}
    sync = document["paths"]["/api/v1/integrations/tiktok/sync/{user_id}"]["post"]
    assert sync["security"] == [{"ApiKey": []}, {"Session": []}, {"UserToken": []}]
