-- Times are milliseconds since 1970 UTC. Only SQL that SQLite and PostgreSQL both take.

-- What a person may have; NULL: the limit of the role.
ALTER TABLE users ADD COLUMN max_tunnels INTEGER;
ALTER TABLE users ADD COLUMN max_desktops INTEGER;
ALTER TABLE users ADD COLUMN max_agents INTEGER;
ALTER TABLE users ADD COLUMN max_tokens INTEGER;

CREATE TABLE identities (
    provider TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (provider, subject)
);

CREATE UNIQUE INDEX identities_user_id_provider ON identities (user_id, provider);

CREATE TABLE sessions (
    id_hash TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    last_used BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    method TEXT NOT NULL
);

CREATE INDEX sessions_user_id ON sessions (user_id);

CREATE TABLE audit_log (
    id BIGINT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT,
    address TEXT,
    outcome TEXT NOT NULL,
    detail TEXT
);

CREATE INDEX audit_log_actor ON audit_log (actor, id);
CREATE INDEX audit_log_action ON audit_log (action, id);
CREATE INDEX audit_log_object ON audit_log (object, id);
