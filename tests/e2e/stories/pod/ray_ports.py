"""Whether Ray's ports answer a stranger who has no token: HOST; a line each, `PORT answered` or `PORT refused: WHY`."""

import os
import sys

os.environ["RAY_AUTH_MODE"] = "disabled"
import grpc
from ray._raylet import GcsClient
from ray.core.generated import ray_client_pb2, ray_client_pb2_grpc

SECONDS = 8
host = sys.argv[1]


def gcs():
    GcsClient(address=f"{host}:6379").internal_kv_keys(b"", None, timeout=SECONDS)


def ray_client():
    with grpc.insecure_channel(f"{host}:10001") as channel:
        stub = ray_client_pb2_grpc.RayletDriverStub(channel)
        ping = ray_client_pb2.ClusterInfoRequest(type=ray_client_pb2.ClusterInfoType.PING)
        stub.ClusterInfo(ping, timeout=SECONDS)


for port, ask in ((6379, gcs), (10001, ray_client)):
    try:
        ask()
        print(port, "answered")
    except Exception as error:  # noqa: BLE001 - whatever it says is the answer
        print(port, "refused:", type(error).__name__, " ".join(str(error).split())[:300])
