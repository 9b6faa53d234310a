DROP TABLE audit_log;
DROP TABLE sessions;
DROP TABLE identities;
ALTER TABLE users DROP COLUMN max_tokens;
ALTER TABLE users DROP COLUMN max_agents;
ALTER TABLE users DROP COLUMN max_desktops;
ALTER TABLE users DROP COLUMN max_tunnels;
