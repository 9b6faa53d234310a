-- Times are milliseconds since 1970 UTC. Only SQL that SQLite and PostgreSQL both take.

CREATE TABLE settings (
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE users (
    id TEXT NOT NULL PRIMARY KEY,
    username TEXT NOT NULL UNIQUE,
    display_name TEXT,
    email TEXT,
    password_hash TEXT,
    role TEXT NOT NULL,
    active BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    last_sign_in BIGINT
);

CREATE TABLE api_tokens (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    token_hash TEXT NOT NULL UNIQUE,
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    last_used BIGINT
);

CREATE INDEX api_tokens_user_id ON api_tokens (user_id);

CREATE TABLE agents (
    client_id TEXT NOT NULL PRIMARY KEY,
    owner_id TEXT NOT NULL REFERENCES users (id),
    shared BOOLEAN NOT NULL,
    token_hash TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_seen BIGINT,
    address TEXT,
    version TEXT
);

CREATE TABLE proxies (
    proxy_id TEXT NOT NULL PRIMARY KEY,
    client_id TEXT NOT NULL REFERENCES agents (client_id),
    owner_id TEXT NOT NULL REFERENCES users (id),
    name TEXT,
    protocol TEXT NOT NULL,
    remote_host TEXT NOT NULL,
    remote_port INTEGER NOT NULL,
    local_port INTEGER NOT NULL UNIQUE,
    bind TEXT,
    enabled BOOLEAN NOT NULL,
    allow TEXT NOT NULL,
    max_connections INTEGER,
    bytes_in BIGINT NOT NULL,
    bytes_out BIGINT NOT NULL,
    connections_total BIGINT NOT NULL,
    dial_errors BIGINT NOT NULL,
    last_dial_error TEXT,
    created_at BIGINT NOT NULL
);

CREATE INDEX proxies_client_id ON proxies (client_id);
