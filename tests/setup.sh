#!/bin/sh
# What the suite needs beside .venv: Debian's browser, web server, mail server, database, its pooler, stream server, load generator and false
# clock, Node, and the packages of package.json.
# `make test` runs it. Root on Debian: whatever is missing is installed. Anyone else: it says what is missing, and fails.
set -eu
cd "$(dirname "$0")/.."

has() { command -v "$1" >/dev/null 2>&1; }

missing=
need() { # program, Debian package
    has "$1" || missing="$missing $2"
}
PATH="$PATH:/usr/sbin" # where Debian keeps nginx and nats-server
need chromium chromium
need nginx nginx
need nats-server nats-server
[ -n "$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null)" ] || has initdb || missing="$missing postgresql"
need pgbouncer pgbouncer
need wrk wrk
need faketime faketime
need openssl openssl
[ "$(id -u)" != 0 ] || need ip iproute2 # network namespaces are for root
need node nodejs
need npm npm
# A mail server with a queue. Root alone can start one, so nobody else needs it.
[ "$(id -u)" != 0 ] || need smtpd opensmtpd

if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ] || ! has apt-get; then
        echo "the tests need these Debian packages:$missing (install them, then run make test again)" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    # RUNLEVEL=1: packages do not start their services; the tests start nginx, NATS, PostgreSQL and OpenSMTPD themselves, on their own ports.
    export RUNLEVEL=1
    apt-get update -qq
    # --no-remove: a machine that has another mail server keeps it, and apt says that the two do not go together.
    # shellcheck disable=SC2086 # a list of words on purpose
    apt-get install -y -qq --no-install-recommends --no-remove $missing >/dev/null
fi

if [ -f package-lock.json ]; then
    npm ci --silent
fi
