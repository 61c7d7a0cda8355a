#!/bin/sh
# Writes .env: the key of the cluster, the tokens of its clients, and the password of its store. An .env that is there
# stays as it is.
set -eu
cd "$(dirname "$0")"
umask 077
random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
if [ -e .env ]; then
    echo ".env is there already" >&2
    exit 0
fi
password=$(random)
cat > .env.new <<END
MCPGATEWAY_CLUSTER_KEY=$(random)
MCPGATEWAY_AUTH_TOKEN=$(random)
MCPGATEWAY_ADMIN_TOKEN=$(random)
POSTGRES_PASSWORD=$password
MCPGATEWAY_STORE=postgresql://mcpgateway:$password@store/mcpgateway
END
mv .env.new .env
