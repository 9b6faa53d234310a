DROP TABLE containers;
DROP TABLE desktop_types;
