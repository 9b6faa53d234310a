-- Times are milliseconds since 1970 UTC. Only SQL that SQLite and PostgreSQL both take.

CREATE TABLE desktop_types (
    -- Names the homes that belong to it: it outlives a change of the name.
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    label TEXT NOT NULL,
    kind TEXT NOT NULL,
    image TEXT NOT NULL,
    port INTEGER NOT NULL,
    scheme TEXT NOT NULL,
    strip_prefix BOOLEAN NOT NULL,
    entry_path TEXT NOT NULL,
    basic_user TEXT,
    -- A JSON object.
    env TEXT NOT NULL,
    -- A JSON array; NULL: the image's own.
    command TEXT,
    shm_bytes BIGINT,
    cpus DOUBLE PRECISION,
    memory_bytes BIGINT,
    pids BIGINT,
    -- A JSON array.
    cap_add TEXT NOT NULL,
    no_new_privileges BOOLEAN NOT NULL,
    seccomp TEXT,
    -- A JSON array.
    extra_hosts TEXT NOT NULL,
    persistent_home BOOLEAN NOT NULL,
    home_path TEXT NOT NULL,
    -- NULL: never stopped for being idle.
    idle_limit_s BIGINT,
    enabled BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE containers (
    id TEXT NOT NULL PRIMARY KEY,
    owner_id TEXT NOT NULL REFERENCES users (id),
    type_id TEXT NOT NULL REFERENCES desktop_types (id),
    proxy_path TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    reason TEXT,
    -- What a desktop holds while it lives; NULL otherwise, so that each is unique among the living.
    container_id TEXT,
    host_port INTEGER UNIQUE,
    subnet TEXT UNIQUE,
    address TEXT,
    -- Encrypted with the installation's key.
    password TEXT,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    stopped_at BIGINT,
    last_accessed BIGINT
);

-- One desktop of each type for each person.
CREATE UNIQUE INDEX containers_owner_id_type_id ON containers (owner_id, type_id);

INSERT INTO desktop_types (
    id, name, label, kind, image, port, scheme, strip_prefix, entry_path, basic_user, env, command, shm_bytes, cpus,
    memory_bytes, pids, cap_add, no_new_privileges, seccomp, extra_hosts, persistent_home, home_path, idle_limit_s,
    enabled, created_at
) VALUES
    ('debian-desktop', 'debian-desktop', 'Debian desktop', 'kasm', 'dockway/debian-desktop:1', 6901, 'https', TRUE,
     '/vnc.html?path=desktop/{proxy_path}/websockify&autoconnect=1&resize=remote&reconnect=true', 'kasm_user',
     '{"VNC_PW":"{password}"}', NULL, 268435456, 2, 2147483648, 1024, '[]', TRUE, NULL, '[]', TRUE,
     '/home/kasm-user', 28800, TRUE, 0),
    ('ubuntu-chromium', 'ubuntu-chromium', 'Chromium', 'kasm', 'kasmweb/chromium:1.17.0', 6901, 'https', TRUE,
     '/vnc.html?path=desktop/{proxy_path}/websockify&autoconnect=1&resize=remote&reconnect=true', 'kasm_user',
     '{"VNC_PW":"{password}"}', NULL, 536870912, 2, 4294967296, 4096, '[]', TRUE, NULL, '[]', TRUE,
     '/home/kasm-user', 28800, TRUE, 0),
    ('ubuntu-desktop', 'ubuntu-desktop', 'Ubuntu desktop', 'kasm', 'kasmweb/ubuntu-jammy-desktop:1.17.0', 6901,
     'https', TRUE,
     '/vnc.html?path=desktop/{proxy_path}/websockify&autoconnect=1&resize=remote&reconnect=true', 'kasm_user',
     '{"VNC_PW":"{password}"}', NULL, 536870912, 2, 4294967296, 4096, '[]', TRUE, NULL, '[]', TRUE,
     '/home/kasm-user', 28800, TRUE, 0),
    ('ubuntu-vscode', 'ubuntu-vscode', 'Visual Studio Code', 'kasm', 'kasmweb/vs-code:1.17.0', 6901, 'https', TRUE,
     '/vnc.html?path=desktop/{proxy_path}/websockify&autoconnect=1&resize=remote&reconnect=true', 'kasm_user',
     '{"VNC_PW":"{password}"}', NULL, 536870912, 2, 4294967296, 4096, '[]', TRUE, NULL, '[]', TRUE,
     '/home/kasm-user', 28800, TRUE, 0);
