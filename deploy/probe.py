"""`python -m deploy.probe`: asks the process at HEALTH_URL whether it serves, and ends with status 0 if it does."""

import http.client
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import grpc
from cryptography import x509
from grpc_health.v1 import health, health_pb2

PATIENCE = 4.0  # seconds
SERVING = health_pb2.HealthCheckResponse.SERVING


def answers(host: str, port: int, path: str) -> bool:
    """Return whether a GET is answered with 200."""
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    finally:
        connection.close()


def serves(target: str) -> bool:
    """Return whether grpc.health.v1 says so, asked with the process's own certificate."""
    ca, certificate, key = (Path(os.environ[name]).read_bytes() for name in ("TLS_CA", "TLS_CERT", "TLS_KEY"))
    credentials = grpc.ssl_channel_credentials(ca, key, certificate)
    # It is this process whatever the certificate calls it: the address need not be among its names.
    options = [("grpc.ssl_target_name_override", first_name(certificate))]
    with grpc.secure_channel(target, credentials, options) as channel:
        check = channel.unary_unary(
            f"/{health.SERVICE_NAME}/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        return bool(check(health_pb2.HealthCheckRequest(), timeout=PATIENCE).status == SERVING)


def first_name(certificate: bytes) -> str:
    """Return a host that the certificate is good for."""
    extensions = x509.load_pem_x509_certificate(certificate).extensions
    named = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    hosts = [*named.get_values_for_type(x509.DNSName), *named.get_values_for_type(x509.IPAddress)]
    return str(hosts[0])


def main() -> int:
    """Return the exit status; one line says why it is not 0."""
    url = urlsplit(os.environ.get("HEALTH_URL", ""))
    try:
        host, port = url.hostname or "", url.port or 0
        healthy = serves(url.netloc) if url.scheme == "grpc" else answers(host, port, url.path)
    except grpc.RpcError as error:
        return complain(f"no answer: {error.code().name}")
    except (OSError, ValueError, http.client.HTTPException, KeyError) as error:
        return complain(f"no answer: {type(error).__name__}")
    return 0 if healthy else complain("answers that it does not serve")


def complain(problem: str) -> int:
    """Say what is wrong, and return the exit status of something unhealthy."""
    sys.stderr.write(f"HEALTH_URL {os.environ.get('HEALTH_URL')} {problem}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
