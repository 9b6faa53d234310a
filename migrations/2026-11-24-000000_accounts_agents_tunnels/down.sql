DROP TABLE proxies;
DROP TABLE agents;
DROP TABLE api_tokens;
DROP TABLE users;
DROP TABLE settings;
